package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// certInterval is between two looks at the files of certificates.
const certInterval = time.Second

// EdgeServeOptions are what ServeEdge needs besides its file.
type EdgeServeOptions struct {
	// User is the number of the user and group to become once the ports are
	// open; 0: stay as we are.
	User int
	// Reload asks to load the certificates again (SIGHUP). Changed files are
	// noticed anyway.
	Reload <-chan struct{}
	// Ready is called once the listeners serve.
	Ready func(http, https []net.Addr)

	AccessLog io.Writer    // nil: none
	Log       *slog.Logger // nil: slog.Default

	grace, connectWait time.Duration // 0: 15 s, connectLimit
}

// ServeEdge serves TLS in front of a registry and an auth server at unix sockets,
// until ctx is done; then it finishes what is under way, for up to 15 s, and
// returns nil.
func ServeEdge(ctx context.Context, file *EdgeFile, opts EdgeServeOptions) error {
	opts.Log = cmp.Or(opts.Log, slog.Default())
	opts.grace = cmp.Or(opts.grace, shutdownGrace)
	opts.connectWait = cmp.Or(opts.connectWait, connectLimit)
	config, err := tlsProfile(file.Profile)
	if err != nil {
		return err
	}
	plain, err := listenAll(file.HTTP)
	if err != nil {
		return err
	}
	defer closeAll(plain)
	secure, err := listenAll(file.HTTPS)
	if err != nil {
		return err
	}
	defer closeAll(secure)
	// From here on as at every later reload, so that a certificate which could
	// not be read then shows now.
	if err := become(opts.User); err != nil {
		return err
	}
	certs, err := openCertFiles(file.Certificates, opts.Log)
	if err != nil {
		return err
	}
	config.GetCertificate = certs.get

	failed := make(chan error, len(plain)+len(secure))
	servers := []*server{
		newServer(newPlainEdge(file, opts.AccessLog, opts.Log), nil, opts.Log),
		newServer(opts.handler(file), config, opts.Log),
	}
	for i, listeners := range [][]net.Listener{plain, secure} {
		for _, ln := range listeners {
			go func() { failed <- fmt.Errorf("serving on %s: %w", ln.Addr(), servers[i].serve(ln)) }()
		}
	}
	if opts.Ready != nil {
		opts.Ready(addresses(plain), addresses(secure))
	}
	err = opts.loop(ctx, certs, failed)
	return errors.Join(err, stopAll(servers, opts.grace))
}

// loop keeps the certificates fresh until there is a reason to stop.
func (o *EdgeServeOptions) loop(ctx context.Context, certs *certFiles, failed <-chan error) error {
	watch := time.NewTicker(certInterval)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-o.Reload:
			certs.refresh(true)
		case <-watch.C:
			certs.refresh(false)
		}
	}
}

// handler is the edge with its two upstreams.
func (o *EdgeServeOptions) handler(file *EdgeFile) http.Handler {
	registry := &upstream{name: "registry", socket: file.RegistrySocket, wait: o.connectWait, answer: stallLimit, log: o.Log}
	auth := &upstream{name: "auth server", socket: file.AuthSocket, wait: o.connectWait, answer: authLimit, log: o.Log}
	return NewEdge(EdgeOptions{
		Registry: registry.handler(), Auth: limitRate(auth.handler()),
		Host: file.Host, AuthHost: file.AuthHost, HSTS: file.HSTS,
		AccessLog: o.AccessLog, Log: o.Log,
	})
}

// listenAll opens all addresses or none. One that names an IPv4 address does not
// take the same port of IPv6, nor the other way round.
func listenAll(addrs []string) ([]net.Listener, error) {
	var all []net.Listener
	for _, addr := range addrs {
		network := "tcp"
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
			network = "tcp6"
			if net.ParseIP(host).To4() != nil {
				network = "tcp4"
			}
		}
		ln, err := net.Listen(network, addr)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, ln)
	}
	return all, nil
}

func closeAll(all []net.Listener) {
	for _, ln := range all {
		ln.Close()
	}
}

func addresses(all []net.Listener) (addrs []net.Addr) {
	for _, ln := range all {
		addrs = append(addrs, ln.Addr())
	}
	return addrs
}

func stopAll(servers []*server, grace time.Duration) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { errs[i] = s.stop(grace) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// become gives up root for good. A container's process that is not root from
// the start cannot open ports below 1024 on the host's network: Docker gives no
// ambient capabilities, and no-new-privileges takes those of files away.
func become(user int) error {
	if user == 0 || os.Geteuid() == user {
		return nil
	}
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setgid(user) },
		func() error { return syscall.Setuid(user) }, // with it go all capabilities
	} {
		if err := step(); err != nil {
			return fmt.Errorf("becoming user %d (it takes the capabilities SETUID and SETGID): %w", user, err)
		}
	}
	return nil
}
