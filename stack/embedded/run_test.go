package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"regctl/certs"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, err := certs.OpenLocalCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(o *Options) {
		o.TLS = ca.TLSConfig("reg.example", "auth.example")
		o.Host, o.AuthHost = "reg.example", "auth.example"
	})
	_, port, _ := net.SplitHostPort(s.addr)
	if want := "https://reg.example:" + port; s.url != want {
		t.Errorf("ready at %s, want %s", s.url, want)
	}
	pem, err := os.ReadFile(ca.CertFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	for _, test := range []struct {
		host, path string
		want       int
	}{
		{"reg.example", "/v2/", 401}, {"reg.example", "/auth", 404}, {"auth.example", "/auth", 401}, {"auth.example", "/v2/", 404},
		{"localhost", "/v2/", 401}, {"127.0.0.1", "/v2/", 401},
	} {
		resp, err := client.Get("https://" + net.JoinHostPort(test.host, port) + test.path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.want || resp.ProtoMajor != 2 {
			t.Errorf("%s%s: %s %s, want %d over HTTP/2", test.host, test.path, resp.Proto, resp.Status, test.want)
		}
		if challenge, want := resp.Header.Get("WWW-Authenticate"), `realm="https://auth.example:`+port+`/auth"`; test.path == "/v2/" && test.want == 401 && !strings.Contains(challenge, want) {
			t.Errorf("%s%s: challenge %s, want %s", test.host, test.path, challenge, want)
		}
	}
	if _, err := client.Get("https://other.example:" + port + "/v2/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("unknown server name: %v", err)
	}

	image, digest := randomImage(t)
	as := []remote.Option{remote.WithAuth(alice), remote.WithTransport(transport)}
	if err := remote.Write(parse(t, "reg.example:"+port+"/app:1"), image, as...); err != nil {
		t.Fatalf("push: %v", err)
	}
	if got, err := remote.Get(parse(t, "reg.example:"+port+"/app:1"), as...); err != nil || got.Digest != digest {
		t.Errorf("pull: %v, %v", got, err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	opts, _ := testOptions(t)
	certificate := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		want   string
		change func(*Options)
	}{
		{"dir: is empty", func(o *Options) { o.Dir = "" }},
		{"auth server is not set", func(o *Options) { o.Auth = nil }},
		{"passwords in clear", func(o *Options) { o.Listen = ":0" }},
		{"passwords in clear", func(o *Options) { o.Listen, o.Host = "0.0.0.0:0", "reg.example" }},
		{"the name they use is not known", func(o *Options) { o.Listen, o.TLS = "[::]:0", certificate }},
		{"the name they use is not known", func(o *Options) { o.Listen, o.AcceptPlainHTTP = "0.0.0.0:0", true }},
		{"address already in use", func(o *Options) { o.Listen = taken.Addr().String() }},
		{"host: \"a b\"", func(o *Options) { o.Host = "a b" }},
		{"auth-host: \"a:1\"", func(o *Options) { o.AuthHost = "a:1" }},
		{"signing bundle", func(o *Options) { o.SigningBundle = "" }},
		{"first request to ourselves", func(o *Options) { o.TLS = certificate }}, // its handshakes fail
	} {
		opts := opts
		test.change(&opts)
		opts.Ready = func(string) { t.Errorf("ready, want %q", test.want) }
		if err := Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

func TestPlainHTTPOnAllAddresses(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *Options) { o.Listen, o.Host, o.AcceptPlainHTTP = "0.0.0.0:0", "reg.example", true })
	_, port, _ := net.SplitHostPort(s.addr)
	if want := "http://reg.example:" + port; s.url != want {
		t.Errorf("ready at %s, want %s", s.url, want)
	}
}

func TestSecondRunIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	opts, _ := testOptions(t)
	opts.Dir = s.dir
	var locked *LockedError
	if err := Run(t.Context(), opts); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second Run: %v, want it to name process %d", err, os.Getpid())
	}
	s.cancel()
	<-s.done
	lock, err := AcquireLock(s.dir)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestRunUnderTheCallersLock(t *testing.T) {
	t.Parallel()
	var lock *Lock
	s := start(t, func(o *Options) {
		var err error
		if lock, err = AcquireLock(o.Dir); err != nil {
			t.Fatal(err)
		}
		o.Lock = lock
	})
	s.cancel()
	<-s.done
	if _, err := AcquireLock(s.dir); err == nil {
		t.Error("Run released a lock that is not its own")
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

// slowUpload begins to PATCH a layer, and returns when the registry reads its
// body: where to write the rest, and the answer to come.
func slowUpload(t *testing.T, s *stack) (*io.PipeWriter, <-chan int) {
	t.Helper()
	token := s.issuer.token("repository:app:pull,push")
	body, rest := io.Pipe()
	reading := make(chan struct{})
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, upload(t, s, token, nil).Header.Get("Location"), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Expect", "100-continue")
	status := make(chan int, 1)
	go func() {
		transport := &http.Transport{ExpectContinueTimeout: time.Hour}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	select {
	case <-reading:
	case got := <-status:
		t.Fatalf("the upload ended before its body: %d", got)
	}
	return rest, status
}

func TestShutdownLetsAnUploadFinish(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	body, status := slowUpload(t, s)
	if _, err := io.WriteString(body, "first half, "); err != nil {
		t.Fatal(err)
	}
	s.cancel()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case err := <-s.done:
		t.Fatalf("Run ended under an upload: %v", err)
	default:
	}
	if _, err := io.WriteString(body, "second half"); err != nil {
		t.Fatal(err)
	}
	body.Close()
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("the upload's answer is %d", got)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestShutdownCutsAnUploadThatNeverEnds(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *Options) { o.grace = time.Millisecond })
	body, status := slowUpload(t, s)
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	body.CloseWithError(errors.New("cut")) // the client's transport waits for its body
	if got := <-status; got != 0 {
		t.Errorf("the upload was answered with %d", got)
	}
}

func TestRunLeavesPrivateFiles(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *Options) { o.Dir = filepath.Join(o.Dir, "new") })
	for path, mode := range map[string]os.FileMode{
		"": 0o700, "run": 0o700, "run/serve.lock": 0o600, "data": 0o700, "data/registry": 0o700, "data/registry.secret": 0o600,
	} {
		info, err := os.Stat(filepath.Join(s.dir, path))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != mode {
			t.Errorf("%s: mode %o, want %o", path, info.Mode().Perm(), mode)
		}
	}
}
