package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Timeouts of the public listener. A token request is small; the longest part
// is waiting for a password to be hashed.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 40 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// shutdownGrace is what requests under way have to finish.
	shutdownGrace = 15 * time.Second
)

// endpoint is an HTTP server on one address that can move to another without
// dropping a request.
type endpoint struct {
	handler http.Handler
	// tls is asked at each connection, so certificates and even the choice
	// between TLS and plain HTTP change with a reload.
	tls func() *tls.Config
	log *slog.Logger

	network, addr string
	server        *http.Server
	bound         net.Addr
	failed        chan error
}

func newEndpoint(handler http.Handler, tlsConfig func() *tls.Config, log *slog.Logger) *endpoint {
	return &endpoint{handler: handler, tls: tlsConfig, log: log, failed: make(chan error, 1)}
}

// listen serves on another address from now on; the old one finishes what it
// has. On an error, and when the address is the same, nothing changes. An empty
// address only ends the old one.
func (e *endpoint) listen(network, addr string) error {
	if network == e.network && addr == e.addr {
		return nil
	}
	old := e.server
	e.server = nil
	if addr != "" {
		l, err := listenOn(network, addr)
		if err != nil {
			e.server = old
			return err
		}
		e.serve(l)
	}
	e.network, e.addr = network, addr
	if old != nil {
		go shutdown(old)
	}
	return nil
}

func (e *endpoint) serve(l net.Listener) {
	e.bound = l.Addr()
	e.server = &http.Server{
		Handler:           e.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(logWriter{e.log}, "", 0),
	}
	go func(s *http.Server) {
		if err := s.Serve(&maybeTLS{l, e.tls}); !errors.Is(err, http.ErrServerClosed) {
			e.failed <- err
		}
	}(e.server)
}

func (e *endpoint) close() {
	if e.server != nil {
		shutdown(e.server)
	}
}

// ServeMonitor serves MonitorHandler on a TCP address until stop is called.
func (s *Server) ServeMonitor(addr string) (bound net.Addr, stop func(), err error) {
	e := newEndpoint(s.MonitorHandler(), func() *tls.Config { return nil }, s.log)
	if err := e.listen("tcp", addr); err != nil {
		return nil, nil, err
	}
	return e.bound, e.close, nil
}

// shutdown lets requests finish, within limits.
func shutdown(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// listenOn opens a TCP or unix listener. The mode of a socket is left to the
// umask, as in docker_auth.
func listenOn(network, addr string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, addr)
	}
	l, err := ListenUnix(addr, 0)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return l, nil
}

// maybeTLS is a listener that speaks TLS when there is a configuration for it.
type maybeTLS struct {
	net.Listener
	config func() *tls.Config
}

func (l *maybeTLS) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if config := l.config(); config != nil {
		return tls.Server(c, config), nil
	}
	return c, nil
}

// logWriter passes net/http's own messages (mostly failed handshakes) on.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug("http", "message", string(p))
	return len(p), nil
}
