package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// Options are what Run serves, and where.
type Options struct {
	Dir string // of the installation; made if missing

	// Listener is where to serve, or Listen is the address to listen on
	// (default 127.0.0.1:5000).
	Listener net.Listener
	Listen   string
	TLS      *tls.Config // nil: plain HTTP, on loopback addresses only
	CAFile   string      // the CA that clients need to trust, told in Running; empty: a public one
	// AcceptPlainHTTP allows plain HTTP on other addresses: everybody on the way
	// can read passwords and tokens.
	AcceptPlainHTTP bool

	Host     string // the registry's name, without port; needed unless the address is a loopback one
	AuthHost string // the auth server's own name; empty: the registry's

	Auth          http.Handler // serves /auth, /auth/token and /token
	SigningBundle string       // PEM file of certificates that the registry trusts for tokens
	Issuer        string       // of tokens
	Service       string       // the audience of tokens

	// Lock is the installation's lock if the caller holds it; nil: Run takes it.
	Lock *Lock
	// Ready is called once, when a request was answered at the URL.
	Ready     func(url string)
	AccessLog io.Writer    // nil: none
	Logger    *slog.Logger // nil: slog.Default

	grace time.Duration // for requests under way at the end; 0: 15 s
}

// Run serves the stack until ctx is done; then it stops accepting, lets
// requests under way finish for up to 15 s, cuts the rest, and returns nil. When
// it returns no request is being served any more, so Auth's owner may close it.
//
// It returns a *LockedError if the installation is being served already.
func Run(ctx context.Context, opts Options) error {
	opts, err := opts.checked()
	if err != nil {
		return err
	}
	if opts.Auth == nil {
		return errors.New("the auth server is not set")
	}
	if opts.Lock == nil {
		lock, err := AcquireLock(opts.Dir)
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	ln, err := opts.listen()
	if err != nil {
		return err
	}
	defer ln.Close()
	at := opts.endpoint(ln.Addr())

	registry, err := OpenRegistry(RegistryOptions{
		Dir: opts.Dir, Realm: at.fixedRealm, Service: opts.Service, Issuer: opts.Issuer,
		SigningBundle: opts.SigningBundle, Log: opts.Logger,
	})
	if err != nil {
		return err
	}
	defer registry.Close()

	srv := newServer(NewEdge(EdgeOptions{
		Registry: registry, Auth: opts.Auth, Host: opts.Host, AuthHost: opts.AuthHost,
		AccessLog: opts.AccessLog, Log: opts.Logger,
	}), opts.TLS, opts.Logger)
	failed := make(chan error, 1)
	go func() { failed <- srv.serve(ln) }()
	if err := at.probe(ctx); err != nil {
		return errors.Join(fmt.Errorf("the first request to ourselves: %w", err), srv.stop(0))
	}
	if err := (Running{at.url, at.dial, opts.Service, opts.CAFile}).write(opts.Dir); err != nil {
		return errors.Join(err, srv.stop(0))
	}
	if opts.Ready != nil {
		opts.Ready(at.url)
	}
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serving on %s: %w", ln.Addr(), err), srv.stop(0))
	case <-ctx.Done():
		return srv.stop(opts.grace)
	}
}

// Check says what is wrong with where o is to be served, before anything is
// made: Run refuses the same.
func (o Options) Check() error {
	o, err := o.checked()
	if err != nil || o.Listener != nil {
		return err
	}
	addr, err := net.ResolveTCPAddr("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return o.checkExposure(addr)
}

// checked returns o with its defaults, or what is wrong with it.
func (o Options) checked() (Options, error) {
	var err error
	if o.Dir == "" {
		return o, errors.New("the directory is not set")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, err
	}
	if o.Host, err = checkHost(o.Host); err != nil {
		return o, fmt.Errorf("host: %w", err)
	}
	if o.AuthHost, err = checkHost(o.AuthHost); err != nil {
		return o, fmt.Errorf("auth-host: %w", err)
	}
	if o.AuthHost == o.Host {
		o.AuthHost = ""
	}
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:5000")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.grace = cmp.Or(o.grace, 15*time.Second)
	return o, nil
}

// listen opens the listener, unless that would show passwords to a network.
func (o *Options) listen() (net.Listener, error) {
	if o.Listener != nil {
		return o.Listener, o.checkExposure(o.Listener.Addr())
	}
	addr, err := net.ResolveTCPAddr("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := o.checkExposure(addr); err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

func (o *Options) checkExposure(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return fmt.Errorf("listen: %s is no TCP address", addr)
	case tcp.IP.IsLoopback():
		return nil
	case o.TLS == nil && !o.AcceptPlainHTTP:
		return fmt.Errorf("listen: %s can be reached from other machines, and without TLS they send passwords in clear: "+
			"use TLS, a loopback address, or accept the risk plain-http", addr)
	case o.Host == "":
		return fmt.Errorf("listen: %s can be reached from other machines: set host to the name they use", addr)
	}
	return nil
}
