package embedded

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
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

	AccessLog io.Writer    // one line per request; nil: none
	Log       *slog.Logger // nil: slog.Default
}

// NewEdge returns the handler of a stack's one listener. The registry has
// /v2/; the auth server has /auth, /auth/token and /token; there is nothing
// else. Headers in which proxies tell whom they speak for are the edge's own:
// the registry believes them, so a client must not set them.
func NewEdge(opts EdgeOptions) http.Handler {
	e := &edge{EdgeOptions: opts}
	if e.Log == nil {
		e.Log = slog.Default()
	}
	if e.AuthHost == e.Host {
		e.AuthHost = ""
	}
	return e
}

type edge struct {
	EdgeOptions
	logging sync.Mutex // one access log line at a time
}

// ServeHTTP implements http.Handler.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := newReply(w)
	start := time.Now()
	defer e.finish(reply, r, start)

	reply.Header().Set("X-Content-Type-Options", "nosniff")
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

// finish logs the request, and a panic with its cause: net/http would write it
// among the noise of scanners.
func (e *edge) finish(reply *reply, r *http.Request, start time.Time) {
	cause := recover()
	if cause != nil && cause != http.ErrAbortHandler {
		e.Log.Error("edge: panic while serving", "method", r.Method, "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
	}
	if e.AccessLog != nil {
		if reply.status == 0 && cause == nil {
			reply.status = http.StatusOK // net/http's default
		}
		e.logging.Lock()
		fmt.Fprintf(e.AccessLog, "%s %s %s %q %q %d %d %s\n", start.UTC().Format(time.RFC3339), r.RemoteAddr, r.Method,
			r.Host, r.URL.Path, reply.status, reply.written, time.Since(start).Round(time.Microsecond))
		e.logging.Unlock()
	}
	if cause != nil {
		panic(http.ErrAbortHandler) // cut the connection: the client must not take half an answer for a whole one
	}
}
