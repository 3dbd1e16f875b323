package auth

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener hands out net.Pipes: nothing outside the bubble of a synctest.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error   { close(p.closed); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// However a client dawdles, its connection ends: in the header, in the body,
// and between requests.
func TestDawdlersAreCut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		begin string
		drip  string // each second
		limit time.Duration
	}{
		"header":    {"GET /auth HTTP/1.1\r\nHost: x\r\nX: ", "x", readHeaderTimeout},
		"body":      {"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", readTimeout},
		"no header": {"", "", readHeaderTimeout},
		"idle":      {"GET /auth HTTP/1.1\r\nHost: x\r\n\r\n", "", idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				e := newEndpoint(read, func() *tls.Config { return nil }, slog.New(slog.DiscardHandler))
				l := &pipeListener{make(chan net.Conn), make(chan struct{})}
				e.serve(l)
				defer e.close()
				client, server := net.Pipe()
				l.conns <- server
				begin := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := io.WriteString(client, test.begin)
					for ; err == nil && test.drip != ""; time.Sleep(time.Second) {
						_, err = io.WriteString(client, test.drip)
					}
				})
				_, _ = io.Copy(io.Discard, client)
				if open := time.Since(begin); open < test.limit || open > test.limit+2*time.Second {
					t.Errorf("the connection was open for %s, want %s", open, test.limit)
				}
				client.Close()
				sending.Wait()
			})
		})
	}
}
