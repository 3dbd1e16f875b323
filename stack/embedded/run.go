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

// OptionError says what is wrong with an option. Option is its name as regctl
// serve has it: listen, host, auth-host or dir.
type OptionError struct {
	Option string
	Err    error
	Hint   string // what to do, if anything
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

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
	ln, err := opts.Listening()
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
// made: Run refuses the same. It returns an *OptionError.
func (o Options) Check() error {
	o, err := o.checked()
	if err != nil || o.Listener != nil {
		return err
	}
	_, err = o.address()
	return err
}

// checked returns o with its defaults, or what is wrong with it.
func (o Options) checked() (Options, error) {
	var err error
	if o.Dir == "" {
		return o, &OptionError{Option: "dir", Err: errors.New("is empty")}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, err
	}
	if o.CAFile != "" { // whoever reads Running may be elsewhere
		if o.CAFile, err = filepath.Abs(o.CAFile); err != nil {
			return o, err
		}
	}
	if o.Host, err = checkHost(o.Host); err != nil {
		return o, &OptionError{Option: "host", Err: err}
	}
	if o.AuthHost, err = checkHost(o.AuthHost); err != nil {
		return o, &OptionError{Option: "auth-host", Err: err}
	}
	if o.AuthHost == o.Host {
		o.AuthHost = ""
	}
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:5000")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.grace = cmp.Or(o.grace, shutdownGrace)
	return o, nil
}

// Listening returns the listener that Run serves, open, so that an address that
// cannot be had is known before anything else is done. It would not show
// passwords to a network: see Options.AcceptPlainHTTP.
func (o Options) Listening() (net.Listener, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	if o.Listener != nil {
		return o.Listener, o.checkExposure(o.Listener.Addr())
	}
	addr, err := o.address()
	if err != nil {
		return nil, err
	}
	return net.ListenTCP("tcp", addr)
}

// address is where to listen.
func (o *Options) address() (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", o.Listen)
	if err != nil {
		return nil, &OptionError{Option: "listen", Err: err, Hint: "give HOST:PORT, for example 127.0.0.1:5000"}
	}
	return addr, o.checkExposure(addr)
}

func (o *Options) checkExposure(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return &OptionError{Option: "listen", Err: fmt.Errorf("%s is no TCP address", addr)}
	case tcp.IP.IsLoopback():
		return nil
	case o.TLS == nil && !o.AcceptPlainHTTP:
		return &OptionError{
			"listen", fmt.Errorf("other machines can reach %s, and without TLS they send passwords in clear", addr),
			"add --tls, listen on 127.0.0.1, or accept it: --accept-risk plain-http",
		}
	case o.Host == "":
		return &OptionError{
			"listen", fmt.Errorf("other machines can reach %s, and the name they use is not known", addr),
			"name the registry: --host registry.example.com",
		}
	}
	return nil
}
