package embedded

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are net.Pipes: nothing outside the
// bubble of a synctest, so that hours pass at once.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// serveBubble serves handler as registry and auth server through an edge, and
// returns a client's connection.
func serveBubble(t *testing.T, handler http.HandlerFunc) net.Conn {
	ln := &pipes{make(chan net.Conn), make(chan struct{})}
	log := slog.New(slog.DiscardHandler)
	srv := newServer(NewEdge(EdgeOptions{Registry: handler, Auth: handler, Log: log}), nil, log)
	go func() { _ = srv.serve(ln) }()
	client, conn := net.Pipe()
	ln.conns <- conn
	t.Cleanup(func() {
		client.Close()
		if err := srv.stop(0); err != nil {
			t.Error(err)
		}
	})
	return client
}

func TestStalledUploadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		client := serveBubble(t, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
		})
		begin := time.Now()
		io.WriteString(client, "PATCH /v2/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading the body: %v", err)
		}
		if waited := time.Since(begin); waited != stallLimit {
			t.Errorf("cut after %s, want %s", waited, stallLimit)
		}
	})
}

func TestStalledBodyNobodyReadsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveBubble(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		io.WriteString(client, "PATCH /v2/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
		begin := time.Now()
		if _, err := io.ReadAll(client); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begin); waited > stallLimit+time.Second {
			t.Errorf("the connection was open for %s", waited)
		}
	})
}

func TestStalledDownloadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		client := serveBubble(t, func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 64<<10)
			for {
				if _, err := w.Write(block); err != nil {
					result <- err
					return
				}
			}
		})
		io.WriteString(client, "GET /v2/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		begin := time.Now()
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing: %v", err)
		}
		if waited := time.Since(begin); waited > stallLimit {
			t.Errorf("cut after %s, want %s", waited, stallLimit)
		}
	})
}

// A client on a slow line, then a registry on a slow disk: both take longer in
// all than the limit for a stall.
func TestSlowUploadIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * stallLimit)
			if err := r.Context().Err(); err != nil {
				t.Errorf("the request was given up: %v", context.Cause(r.Context()))
			}
			w.WriteHeader(http.StatusCreated)
		})
		io.WriteString(client, "PUT /v2/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
		for range 10 {
			time.Sleep(stallLimit * 9 / 10)
			io.WriteString(client, "x")
		}
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// A byte of the header each second: never idle, never done.
func TestSlowHeaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serveBubble(t, func(http.ResponseWriter, *http.Request) { t.Error("served half a request") })
		begin := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			_, err := io.WriteString(client, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: ")
			for ; err == nil; time.Sleep(time.Second) {
				_, err = io.WriteString(client, "x")
			}
		})
		_, _ = io.ReadAll(client)
		if waited := time.Since(begin); waited > 12*time.Second {
			t.Errorf("the connection was open for %s", waited)
		}
		client.Close()
		sending.Wait()
	})
}

func TestAuthHasALimitInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		client := serveBubble(t, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
		})
		begin := time.Now()
		io.WriteString(client, "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 100 { // a byte a second: never stalled, never done
				time.Sleep(time.Second)
				if _, err := io.WriteString(client, "x"); err != nil {
					return
				}
			}
		})
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading the body: %v", err)
		}
		if waited := time.Since(begin); waited != authLimit {
			t.Errorf("cut after %s, want %s", waited, authLimit)
		}
		client.Close()
		sending.Wait()
	})
}
