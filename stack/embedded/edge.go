package embedded

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// EdgeOptions are what an edge stands in front of.
type EdgeOptions struct {
	Registry http.Handler
	Auth     http.Handler

	// Host is the registry's name, without port; requests that name another
	// host are refused, loopback names excepted. Empty: loopback names only.
	Host string
	// AuthHost is the auth server's own name. Empty: the registry's.
	AuthHost string

	// HSTS tells browsers to use https only, for two years (RFC 6797).
	HSTS bool

	AccessLog io.Writer    // one line per request, as nginx's combined; nil: none
	Log       *slog.Logger // nil: slog.Default
}

// NewEdge returns the handler of a stack's one listener. The registry has
// /v2/; the auth server has /auth, /auth/token and /token; there is nothing
// else. Headers in which proxies tell whom they speak for are the edge's own:
// the registry believes them, so a client must not set them.
func NewEdge(opts EdgeOptions) http.Handler {
	e := &edge{EdgeOptions: opts}
	e.observer = observer{name: "edge", accessLog: opts.AccessLog, log: cmp.Or(opts.Log, slog.Default())}
	if e.AuthHost == e.Host {
		e.AuthHost = ""
	}
	return e
}

type edge struct {
	EdgeOptions
	observer
}

// ServeHTTP implements http.Handler.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := newReply(w)
	start := time.Now()
	defer e.finish(reply, r, start)

	reply.Header().Set("X-Content-Type-Options", "nosniff")
	if e.HSTS {
		// The names of others below this one are not ours to decide about.
		reply.Header().Set("Strict-Transport-Security", "max-age=63072000")
	}
	registry, auth := e.serves(r.Host)
	switch {
	case !registry && !auth:
		http.Error(reply, "misdirected request: "+e.names(), http.StatusMisdirectedRequest)
	case registry && (r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")):
		reply.limitWrites(stallLimit)
		inner := trusted(r)
		inner.Body = limitReads(reply, r.Body, stallLimit)
		e.Registry.ServeHTTP(reply, inner)
	case auth && isAuthPath(r.URL.Path):
		reply.deadline(start.Add(authLimit))
		e.Auth.ServeHTTP(reply, trusted(r))
	default:
		http.Error(reply, "not found", http.StatusNotFound)
	}
}

func isAuthPath(path string) bool {
	return path == tokenPath || path == "/auth/token" || path == "/token"
}

// serves says which of the two answer to the name in a Host header.
func (e *edge) serves(header string) (registry, auth bool) {
	name, ok := hostName(header)
	switch {
	case !ok:
		return false, false
	case e.AuthHost != "" && name == e.AuthHost:
		return false, true
	case name == e.Host || isLoopback(name):
		return true, e.AuthHost == ""
	}
	return false, false
}

func (e *edge) names() string {
	switch {
	case e.Host == "":
		return "this server answers on this machine only, as localhost or a loopback address"
	case e.AuthHost == "":
		return "this server is " + e.Host
	}
	return "this server is " + e.Host + " and " + e.AuthHost
}

// trusted returns r with the headers that proxies set: none but the scheme,
// which the registry needs for the URLs it sends. It would take the client's
// address, and host and scheme of those URLs, from the others.
func trusted(r *http.Request) *http.Request {
	inner := r.WithContext(r.Context())
	inner.Header = r.Header.Clone()
	for key := range inner.Header {
		if strings.HasPrefix(key, "X-Forwarded-") || key == "Forwarded" || key == "X-Real-Ip" {
			delete(inner.Header, key)
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	inner.Header.Set("X-Forwarded-Proto", scheme)
	return inner
}
