package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/health"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"regctl/stack/auth"
)

// RegistryServeOptions are what ServeRegistry needs besides its configuration.
type RegistryServeOptions struct {
	Ready     func(net.Addr) // called once the listener serves
	AccessLog io.Writer      // one line per request unless log.accesslog.disabled; nil: none
	Log       *slog.Logger   // nil: slog.Default
}

// ServeRegistry serves what distribution's registry serves with the same
// configuration, until ctx is done; then it finishes what is under way, for up
// to http.draintimeout (default 15 s), and returns nil. A configuration that the
// library refuses is an *auth.ConfigError. It exports no traces, whatever OTEL_*
// variables say.
func ServeRegistry(ctx context.Context, config *configuration.Configuration, opts RegistryServeOptions) error {
	log := cmp.Or(opts.Log, slog.Default())
	if config.Log.AccessLog.Disabled {
		opts.AccessLog = nil
	}
	forwardLogs(log, string(config.Log.Level))
	warnings(ctx, config, log)
	app, err := newApp(config)
	if err != nil {
		return &auth.ConfigError{Err: fmt.Errorf("starting the registry: %w", err)}
	}
	defer app.Shutdown()
	checks := health.NewRegistry()
	app.RegisterHealthChecks(checks)

	ln, err := listenRegistry(config.HTTP.Net, config.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	defer ln.Close()
	srv := newServer(&registryHandler{
		app: app, checks: checks,
		observer: observer{name: "registry", accessLog: opts.AccessLog, log: log},
	}, nil, log)
	failed := make(chan error, 2)
	if addr := config.HTTP.Debug.Addr; addr != "" {
		debug, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("http.debug.addr: %w", err)
		}
		defer debug.Close()
		go func() {
			failed <- fmt.Errorf("http.debug.addr: %w", newServer(debugHandler(config, checks), nil, log).serve(debug))
		}()
	}
	go func() { failed <- fmt.Errorf("serving on %s: %w", ln.Addr(), srv.serve(ln)) }()
	if opts.Ready != nil {
		opts.Ready(ln.Addr())
	}
	select {
	case err = <-failed:
		return errors.Join(err, srv.stop(0))
	case <-ctx.Done():
		return srv.stop(cmp.Or(config.HTTP.DrainTimeout, shutdownGrace))
	}
}

// listenRegistry opens a TCP or unix listener. As with distribution, the umask
// says who may connect to a socket.
func listenRegistry(network, addr string) (net.Listener, error) {
	if network == "unix" {
		return auth.ListenUnix(addr, 0)
	}
	return net.Listen("tcp", addr)
}

// registryHandler is the app with what distribution's program puts around it:
// failing health checks make every answer a 503, and / answers probes.
type registryHandler struct {
	app    *handlers.App
	checks *health.Registry
	observer
}

// ServeHTTP implements http.Handler.
func (h *registryHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := newReply(w)
	defer h.finish(reply, r, time.Now())
	h.serve(reply, r)
}

func (h *registryHandler) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case len(h.checks.CheckStatus(r.Context())) > 0:
		_ = errcode.ServeJSON(w, errcode.ErrorCodeUnavailable.WithDetail("a health check is failing")) // the client may be gone
	case r.URL.Path == "/":
		w.Header().Set("Cache-Control", "no-cache")
	default:
		h.app.ServeHTTP(w, r)
	}
}

// debugHandler serves what monitoring reads, without pprof.
func debugHandler(config *configuration.Configuration, checks *health.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/health", func(w http.ResponseWriter, r *http.Request) {
		failing := checks.CheckStatus(r.Context())
		w.Header().Set("Content-Type", "application/json")
		if len(failing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(failing)
	})
	if metrics := config.HTTP.Debug.Prometheus; metrics.Enabled {
		mux.Handle("GET "+cmp.Or(metrics.Path, "/metrics"), promhttp.Handler())
	}
	return mux
}
