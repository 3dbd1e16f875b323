package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"regctl/certs"
	"regctl/provision"
	"regctl/stack/auth"
	"regctl/stack/auth/store"
	"regctl/stack/embedded"
)

// tokenLifetime is that of an installation that is served by one process.
const tokenLifetime = 15 * time.Minute

// plainHTTP is the risk of passwords in clear on a network.
const plainHTTP = "plain-http"

// serveOptions are the flags of regctl serve.
type serveOptions struct {
	dir, listen    string
	host, authHost string
	tls            bool
	admin          string
	metrics        string
	refresh        bool
	acceptRisk     []string
}

func newServeCmd(e *env) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run a registry, its auth server and the edge in this process",
		Long: `Run a Docker registry, its auth server and the edge in this process, until it
is interrupted. Nothing else is needed, and everything is kept in one directory.

The first run makes the keys, the rules and an admin account, whose password it
prints once. When requests are served it prints "ready URL" on standard output.`,
		Example: `  regctl serve --dir ./registry
  regctl serve --dir ./registry --listen :443 --tls --host registry.example.com`,
		Args:        wantArgs(),
		Annotations: exits("0 stopped when it was asked to", codeFailed, codeUsage, codeLocked),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), e)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", defaultDir, "directory of the installation; made if missing")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:5000", "`ADDRESS` to serve on; port 0 picks a free one")
	flags.BoolVar(&o.tls, "tls", false, "serve TLS with certificates of a local CA, made on the first run")
	flags.StringVar(&o.host, "host", "", "`NAME` of the registry; needed unless only this machine uses it")
	flags.StringVar(&o.authHost, "auth-host", "", "`NAME` of the auth server, if it has one of its own")
	flags.StringVar(&o.admin, "admin", "admin", "`NAME` of the admin account that the first run makes")
	flags.StringVar(&o.metrics, "metrics", "", "`ADDRESS` for /metrics, /healthz and /readyz (default none)")
	flags.BoolVar(&o.refresh, "refresh-tokens", false, "give clients that ask a refresh token, which they keep instead of the password")
	flags.StringSliceVar(&o.acceptRisk, "accept-risk", nil, "`RISK` to take: "+plainHTTP+" (passwords travel in clear on a network)")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

func (o *serveOptions) run(ctx context.Context, e *env) error {
	options := embedded.Options{
		Dir: o.dir, Listen: o.listen, Host: o.host, AuthHost: o.authHost,
		Issuer: provision.TokenIssuer, Service: provision.TokenService,
		Ready:  func(url string) { fmt.Fprintln(e.stdout, "ready", url) },
		Logger: slog.New(slog.NewTextHandler(e.stderr, nil)),
	}
	if o.tls {
		options.TLS = new(tls.Config) // the real one needs the directory, which a refusal does not touch
	}
	if err := o.check(&options); err != nil {
		return err
	}
	lock, err := embedded.AcquireLock(o.dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	options.Lock = lock
	if options.Listener, err = options.Listening(); err != nil {
		return err
	}
	defer options.Listener.Close()
	return stopped(ctx, o.serve(ctx, e, options))
}

// check refuses flags that cannot work, and tells options which risks are taken.
func (o *serveOptions) check(options *embedded.Options) error {
	for _, risk := range o.acceptRisk {
		if risk != plainHTTP {
			return usageError("", "--accept-risk: unknown risk %q; known: %s", risk, plainHTTP)
		}
		options.AcceptPlainHTTP = true
	}
	if o.listen == "" {
		return usageError("", "--listen: is empty")
	}
	if err := auth.CheckUserName(o.admin); err != nil {
		return flagError("admin", err)
	}
	return options.Check()
}

// serve runs the auth server around the stack that uses it.
func (o *serveOptions) serve(ctx context.Context, e *env, options embedded.Options) (err error) {
	dir := filepath.Join(o.dir, "auth")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := store.OpenSQLite(filepath.Join(dir, "auth.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	bundle, keyFile, err := certs.SigningCA(dir)
	if err != nil {
		return err
	}
	ca, err := auth.LoadKeyPair(bundle, keyFile)
	if err != nil {
		return fmt.Errorf("the signing CA in %s: %w", dir, err)
	}
	if o.tls {
		if options.TLS, options.CAFile, err = o.localTLS(e); err != nil {
			return err
		}
	}
	srv, err := auth.New(ctx, &auth.Config{
		Token: auth.TokenConfig{
			Issuer: provision.TokenIssuer, Expiration: tokenLifetime, SigningCA: ca,
			Refresh: o.refresh, RefreshExpiration: auth.DefaultRefreshExpiration,
		},
		Audit: auth.AuditConfig{File: filepath.Join(dir, "audit.log")},
	}, auth.Options{Store: st, Log: options.Logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	if err := o.firstRun(ctx, e, srv); err != nil {
		return err
	}
	stopAdmin, err := srv.ServeAdmin(adminSocket(o.dir))
	if err != nil {
		return err
	}
	defer stopAdmin()
	if o.metrics != "" {
		addr, stopMonitor, err := srv.ServeMonitor(o.metrics)
		if err != nil {
			return fmt.Errorf("--metrics: %w", err)
		}
		defer stopMonitor()
		e.note("metrics at http://%s/metrics", addr)
	}
	background, stop := context.WithCancel(ctx)
	defer stop()
	go srv.Background(background)

	options.Auth, options.SigningBundle = srv, bundle
	return embedded.Run(ctx, options)
}

// firstRun gives an empty store its rules and an admin. Should the run be killed
// before it tells the password, regctl user passwd sets another.
func (o *serveOptions) firstRun(ctx context.Context, e *env, srv *auth.Server) error {
	password := rand.Text()
	made, err := auth.Bootstrap(ctx, srv, o.admin, password)
	if err != nil {
		return err
	}
	if made {
		e.note("first run: account %q with password %s", o.admin, password)
		e.note("           it is not shown again; to change it: regctl user passwd %s --dir %s", o.admin, o.dir)
	}
	return nil
}

// localTLS returns the TLS configuration of the local CA, and its certificate.
func (o *serveOptions) localTLS(e *env) (*tls.Config, string, error) {
	dir := filepath.Join(o.dir, "certs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	ca, err := certs.OpenLocalCA(dir, time.Now)
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, name := range []string{o.host, o.authHost} {
		if name != "" {
			names = append(names, name)
		}
	}
	e.note("clients need to trust %s", ca.CertFile())
	return ca.TLSConfig(names...), ca.CertFile(), nil
}
