package auth

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are kept in a registry of their own: two servers in one process do
// not collide.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration prometheus.Histogram
	hashing  prometheus.Histogram
	reloads  *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "regctl_auth_requests_total", Help: "Token requests by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "regctl_auth_request_seconds", Help: "Time to answer a token request.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		hashing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "regctl_auth_hash_seconds", Help: "Time to check a password that was not proven lately.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "regctl_auth_reloads_total", Help: "Configuration reloads by result.",
		}, []string{"result"}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(m.requests, m.duration, m.hashing, m.reloads,
		gauge("regctl_auth_accounts", "Accounts, static and stored.", func() float64 { return float64(s.current.Load().accounts()) }),
		gauge("regctl_auth_hash_waiting", "Requests that hash or wait for it.", func() float64 { return float64(s.creds.waiting.Load()) }),
		gauge("regctl_auth_ready", "1 when requests can be answered.", func() float64 {
			if s.Ready() != nil {
				return 0
			}
			return 1
		}),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) observe(o Outcome, took time.Duration) {
	m.requests.WithLabelValues(string(o)).Inc()
	m.duration.Observe(took.Seconds())
}

// Ready returns nil when token requests can be answered and recorded.
func (s *Server) Ready() error {
	now := s.now()
	if _, err := s.current.Load().signer.sign(&claims{}, now); err != nil {
		return err
	}
	if o := s.outage.Load(); o != nil {
		return o
	}
	if s.audit.broken.Load() {
		return fmt.Errorf("the audit log cannot be written")
	}
	return nil
}

// MonitorHandler serves /healthz (the process answers), /readyz (it can do its
// work) and /metrics (Prometheus). It is for a listener of its own, which
// clients of the registry do not reach.
func (s *Server) MonitorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Ready(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}
