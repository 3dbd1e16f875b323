package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"regctl/stack/auth/store"
)

const (
	watchInterval = time.Second      // between looks at the configuration's files
	flushInterval = 10 * time.Second // between writes of the times of last use
)

// RunOptions are what Run needs besides the configuration file.
type RunOptions struct {
	Load LoadOptions
	Log  *slog.Logger
	// Reload asks for a reload now (SIGHUP); changed files are noticed anyway.
	Reload <-chan struct{}
	// Ready is called with the address once requests are served.
	Ready func(net.Addr)
}

// ConfigError is a fault of the configuration, as opposed to one of the machine.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// Run serves the configuration at path until ctx ends, then finishes what is
// under way and returns nil. A configuration that cannot be used from the start
// is a *ConfigError. When one of its files changes it is reloaded; a bad one is
// logged and the old one stays in force.
func Run(ctx context.Context, path string, opts RunOptions) error {
	w := newWatcher(path)
	cfg, err := LoadConfig(path, opts.Load)
	if err != nil {
		return &ConfigError{err}
	}
	w.watch(cfg.Files)
	for _, text := range cfg.Warnings {
		opts.Log.Warn(text)
	}
	st, err := openStore(ctx, cfg.Store)
	if err != nil {
		return err
	}
	if st != nil {
		defer st.Close()
	}
	srv, err := New(ctx, cfg, Options{Store: st, Log: opts.Log})
	if err != nil {
		return err
	}
	// Loading has left garbage of about the size of what it loaded.
	debug.FreeOSMemory()
	r := &runner{path: path, opts: opts, srv: srv, watcher: w}
	err = r.run(ctx, cfg)
	return errors.Join(err, srv.Close())
}

func openStore(ctx context.Context, cfg *StoreConfig) (store.Store, error) {
	switch {
	case cfg == nil:
		return nil, nil
	case cfg.Mongo != nil:
		return store.OpenMongo(ctx, *cfg.Mongo)
	default:
		return store.OpenSQLite(cfg.SQLite)
	}
}

// runner is a running server with its listeners.
type runner struct {
	path            string
	opts            RunOptions
	srv             *Server
	watcher         *watcher
	public, monitor *endpoint
}

func (r *runner) run(ctx context.Context, cfg *Config) error {
	current := func() *tls.Config { return r.srv.current.Load().cfg.Server.TLS }
	r.public = newEndpoint(r.srv, current, r.opts.Log)
	r.monitor = newEndpoint(r.srv.MonitorHandler(), func() *tls.Config { return nil }, r.opts.Log)
	defer r.public.close()
	defer r.monitor.close()
	if err := r.listen(cfg); err != nil {
		return err
	}
	if cfg.Server.AdminSocket != "" {
		stop, err := r.srv.ServeAdmin(cfg.Server.AdminSocket)
		if err != nil {
			return err
		}
		defer stop()
	}
	if r.opts.Ready != nil {
		r.opts.Ready(r.public.bound)
	}
	return r.loop(ctx)
}

func (r *runner) listen(cfg *Config) error {
	if err := r.monitor.listen("tcp", cfg.Server.MetricsAddr); err != nil {
		return fmt.Errorf("server.metrics_addr: %w", err)
	}
	if err := r.public.listen(cfg.Server.Net, cfg.Server.Addr); err != nil {
		return fmt.Errorf("server.addr: %w", err)
	}
	return nil
}

func (r *runner) loop(ctx context.Context) error {
	background, stop := context.WithCancel(ctx)
	defer stop()
	go r.srv.Background(background)
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.public.failed:
			return err
		case err := <-r.monitor.failed:
			return err
		case <-watch.C:
			if !r.watcher.changed() {
				continue
			}
		case <-r.opts.Reload:
		}
		if files, err := r.reload(); err != nil {
			r.srv.metrics.reloads.WithLabelValues("failed").Inc()
			r.opts.Log.Error("Failed to reload config (server not restarted): " + err.Error())
		} else {
			r.srv.metrics.reloads.WithLabelValues("ok").Inc()
			r.opts.Log.Info("configuration reloaded", "file", r.path)
			r.watcher.watch(files)
		}
	}
}

// reload puts the file's new content in force, or changes nothing.
func (r *runner) reload() (files []string, err error) {
	cfg, err := LoadConfig(r.path, r.opts.Load)
	if err != nil {
		return nil, err
	}
	old := r.srv.current.Load().cfg
	if cfg.Server.AdminSocket != old.Server.AdminSocket {
		return nil, errors.New("server.admin_socket cannot change while the server runs: restart it")
	}
	if err := r.listen(cfg); err != nil {
		return nil, errors.Join(err, r.listen(old))
	}
	if err := r.srv.Reload(cfg); err != nil {
		return nil, errors.Join(err, r.listen(old))
	}
	for _, w := range cfg.Warnings {
		r.opts.Log.Warn(w)
	}
	return cfg.Files, nil
}

// Background writes the times of last use now and then, and looks for what
// others have changed in the store, until ctx ends.
func (s *Server) Background(ctx context.Context) {
	go s.follow(ctx)
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.flushUses(ctx); err != nil {
				s.log.Error(err.Error())
			}
		}
	}
}
