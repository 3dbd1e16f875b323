package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serial is that of the certificate that a new connection is shown.
func (s *twins) serial() (int64, error) {
	conn, err := tls.Dial("tcp", s.https, &tls.Config{RootCAs: s.ca.roots, ServerName: "registry.test"})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func (s *twins) waitSerial(want int64) {
	s.t.Helper()
	s.must(eventually(fmt.Sprintf("certificate %d", want), func() bool {
		got, err := s.serial()
		s.must(err)
		return got == want
	}))
}

// Certificates change while clients come and go: no handshake fails.
func TestTwinsCertificatesChange(t *testing.T) {
	t.Parallel()
	s := startTwins(t)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var handshakes atomic.Int64
	for range 3 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.serial(); err != nil {
					t.Errorf("a handshake: %v", err)
					return
				}
				handshakes.Add(1)
			}
		})
	}
	const file = "certs/live/registry.test.pem"
	for serial := int64(10); serial < 13; serial++ {
		s.write(file, string(s.ca.pair(t, serial, "registry.test")), 0o640)
		s.waitSerial(serial)
	}
	// At once, without waiting for the next look.
	s.write(file, string(s.ca.pair(t, 20, "registry.test")), 0o640)
	s.must(s.edge.cmd.Process.Signal(syscall.SIGHUP))
	s.waitSerial(20)

	for _, bad := range []string{"", "no PEM\n", string(s.ca.pair(t, 30, "other.test")), strings.SplitAfter(string(s.ca.pair(t, 31, "registry.test")), "-----END PRIVATE KEY-----\n")[1]} {
		before := strings.Count(s.edge.stderr.String(), "the certificate in use stays")
		s.write(file, bad, 0o640)
		s.must(eventually("a message about the bad file", func() bool {
			return strings.Count(s.edge.stderr.String(), "the certificate in use stays") > before
		}))
		s.waitSerial(20)
	}
	s.write(file, string(s.ca.pair(t, 40, "registry.test")), 0o640)
	s.waitSerial(40)
	stop()
	clients.Wait()
	if handshakes.Load() == 0 {
		t.Error("no handshake at all")
	}
	s.edge.stop()
}

// A registry that is stopped and started again, as when its container is
// replaced, costs no push: those that come meanwhile wait. One that is
// killed costs those in flight.
func TestTwinsRegistryIsReplaced(t *testing.T) {
	t.Parallel()
	s := startTwins(t)
	const workers = 3
	// The client would try again, and hide what failed.
	once := []remote.Option{
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var failed, done atomic.Int64
	var clients sync.WaitGroup
	for i := range workers {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				err := remote.Write(s.ref(fmt.Sprintf("alice/app%d:%d", i, n)), s.image(), append(s.alice(), once...)...)
				if err != nil {
					t.Logf("a push: %v", err)
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	progress := func() {
		t.Helper()
		from := done.Load()
		s.must(eventually("pushes", func() bool { return done.Load() >= from+workers+1 }))
	}
	progress()
	for range 2 {
		s.registry.stop()
		s.startRegistry()
		progress()
	}
	// HTTP/1.1 cannot tell a request that comes in the very moment an idle
	// connection is closed that it came too late (RFC 9112, 9.5).
	if n := failed.Swap(0); n > 1 {
		t.Errorf("%d of %d pushes failed although the registry was stopped gracefully", n, done.Load())
	}
	for range 2 {
		s.registry.kill()
		s.startRegistry()
		progress()
	}
	stop()
	clients.Wait()
	if n := failed.Load(); n > 2*workers {
		t.Errorf("%d pushes failed, more than were in flight", n)
	}
	s.edge.stop()
}

// The edge finishes what is under way when it is stopped.
func TestTwinsStopGracefully(t *testing.T) {
	t.Parallel()
	s := startTwins(t)
	resp := s.upload("", nil)
	body, feed := io.Pipe()
	ended := make(chan *http.Response, 1)
	go func() { ended <- s.upload(resp.Header.Get("Location"), body) }()
	block := bytes.Repeat([]byte("x"), 4<<20) // more than all buffers on the way
	_, err := feed.Write(block)
	s.must(err)
	s.must(s.edge.cmd.Process.Signal(syscall.SIGTERM))
	s.must(eventually("the edge closes its port", func() bool {
		conn, err := net.Dial("tcp", s.https)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}))
	_, err = feed.Write(block)
	s.must(err)
	feed.Close()
	if resp := <-ended; resp == nil || resp.StatusCode != http.StatusAccepted || resp.Header.Get("Range") != fmt.Sprintf("0-%d", 8<<20-1) {
		t.Errorf("the upload: %v", resp)
	}
	<-s.edge.ended
	if s.edge.err != nil {
		t.Errorf("the edge: %v\n%s", s.edge.err, &s.edge.stderr)
	}
}

// upload starts an upload, or adds to one. It is called from other goroutines,
// too.
func (s *twins) upload(location string, body io.Reader) *http.Response {
	method := http.MethodPatch
	if location == "" {
		method, location = http.MethodPost, s.url("/v2/alice/app/blobs/uploads/")
	}
	req, err := http.NewRequest(method, location, body)
	if err == nil {
		var token string
		if token, err = s.token("repository:alice/app:pull,push"); err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
			var resp *http.Response
			if resp, err = s.transport().RoundTrip(req); err == nil {
				resp.Body.Close()
				return resp
			}
		}
	}
	s.t.Errorf("%s %s: %v", method, location, err)
	return nil
}
