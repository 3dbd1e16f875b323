package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// shutdownGrace is what requests under way have to finish.
const shutdownGrace = 15 * time.Second

// gate counts requests in, and at the end waits until the last is out.
// http.Server.Close does not wait for handlers.
type gate struct {
	next http.Handler
	sync.RWMutex
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.TryRLock() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	defer g.RUnlock()
	g.next.ServeHTTP(w, r)
}

// server is an http.Server whose end can be waited for.
type server struct {
	http.Server
	gate  *gate
	fresh sync.Map // net.Conn that have sent nothing yet
	log   *slog.Logger
}

func newServer(handler http.Handler, config *tls.Config, log *slog.Logger) *server {
	s := &server{gate: &gate{next: handler}, log: log}
	s.Server = http.Server{
		Handler:           s.gate,
		TLSConfig:         config,
		ReadHeaderTimeout: 10 * time.Second, // also for the TLS handshake
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10, // a token for many scopes has a few KiB
		// An HTTP/2 connection has many requests, so it is asked whether it lives.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		// What net/http logs is failed handshakes of scanners; the edge logs panics.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	// Clients open connections that they may want, and Shutdown waits five seconds
	// for the first byte of each.
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.fresh.Store(conn, nil)
		} else {
			s.fresh.Delete(conn)
		}
	}
	s.RegisterOnShutdown(func() {
		for conn := range s.fresh.Range {
			conn.(net.Conn).Close()
		}
	})
	return s
}

func (s *server) serve(ln net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(ln, "", "")
	}
	return s.Serve(ln)
}

// stop ends the server: gracefully for a while, then for good.
func (s *server) stop(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	told := time.AfterFunc(time.Second, func() {
		s.log.Info("waiting for the requests that are still running", "limit", grace)
	})
	defer told.Stop()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		if grace > 0 {
			s.log.Warn("cutting the requests that are still running", "after", grace)
		}
		err = s.Close()
	}
	s.gate.Lock() // for ever: late requests are turned away
	return err
}
