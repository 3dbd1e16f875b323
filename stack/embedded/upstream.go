package embedded

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"syscall"
	"time"

	"regctl/stack/auth"
)

const (
	// connectLimit is how long a request waits for an upstream that is not
	// there: about what it takes to replace a container.
	connectLimit = 10 * time.Second
	connectRetry = 50 * time.Millisecond
	// copyBuffer is what is read and written at once of a layer. From 32 to 256 KiB
	// BenchmarkLayer shows no difference, and an idle connection keeps two of them.
	copyBuffer = 64 << 10
)

// upstream passes requests on to an HTTP server at a unix socket, as they are
// but for what is between two neighbours only (RFC 9110, 7.6.1), and says who
// the client is.
type upstream struct {
	name, socket string
	wait         time.Duration // for the socket to answer
	answer       time.Duration // from the end of a request to the head of its answer
	log          *slog.Logger
}

func (u *upstream) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        u.rewrite,
		ModifyResponse: dropOurs,
		ErrorHandler:   u.failed,
		ErrorLog:       slog.NewLogLogger(u.log.Handler(), slog.LevelDebug), // clients that went away
		BufferPool:     newBuffers(),
		Transport: &http.Transport{
			DialContext:            u.dial,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second, // the servers' own is longer
			ResponseHeaderTimeout:  u.answer,
			DisableCompression:     true, // bodies are passed on as they are
			ReadBufferSize:         copyBuffer,
			WriteBufferSize:        copyBuffer,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An upstream may refuse an upload before it has all of it, and the client
		// is told then. HTTP/2 is like that anyway, and has no such setting.
		_ = http.NewResponseController(w).EnableFullDuplex()
		inner := r.WithContext(r.Context())
		inner.Body = clientBody{r.Body}
		proxy.ServeHTTP(w, inner)
	})
}

// clientBody marks errors of reading as the client's.
type clientBody struct{ io.ReadCloser }

type clientError struct{ error }

// Read implements io.Reader.
func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = clientError{err}
	}
	return n, err
}

// rewrite finishes a request that ReverseProxy has cleared of the headers in
// which proxies tell whom they speak for.
func (u *upstream) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", u.name // only a key for idle connections
	r.Out.URL.RawQuery = r.In.URL.RawQuery            // ReverseProxy drops what it cannot parse
	r.Out.Header.Del("Upgrade")                       // neither upstream speaks another protocol
	r.Out.Header.Del("Connection")
	r.Out.Header["X-Forwarded-Proto"] = r.In.Header["X-Forwarded-Proto"]
	if host, _, err := net.SplitHostPort(r.In.RemoteAddr); err == nil {
		r.Out.Header.Set("X-Forwarded-For", host)
		r.Out.Header.Set("X-Real-Ip", host)
	}
}

// dropOurs leaves the headers that the edge sets on every answer to the edge.
func dropOurs(resp *http.Response) error {
	resp.Header.Del("X-Content-Type-Options")
	resp.Header.Del("Strict-Transport-Security")
	return nil
}

// dial waits a while for a server that is being replaced: its socket is
// missing, or nobody listens at it.
func (u *upstream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	for deadline := time.Now().Add(u.wait); ; {
		conn, err := auth.DialUnix(ctx, u.socket)
		absent := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if err == nil || !absent || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(connectRetry):
		}
	}
}

// statusGone is what nginx logs for a client that went away; nobody is sent it.
const statusGone = 499

// failed answers a request that got no answer.
func (u *upstream) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusBadGateway, "bad gateway: the "+u.name+" does not answer"
	var theirs clientError
	var timeout net.Error
	switch {
	case r.Context().Err() != nil:
		http.Error(w, "", statusGone)
		return
	case errors.As(err, &theirs):
		http.Error(w, "bad request: the body did not arrive", http.StatusBadRequest)
		return
	case errors.As(err, &timeout) && timeout.Timeout():
		status, text = http.StatusGatewayTimeout, "gateway timeout: the "+u.name+" took too long"
	}
	u.log.Error("edge: no answer from the "+u.name, "method", r.Method, "path", r.URL.Path, "error", err)
	http.Error(w, text, status)
}

// buffers implements httputil.BufferPool.
type buffers struct{ sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte { return b.Pool.Get().(*[copyBuffer]byte)[:] }

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.Pool.Put((*[copyBuffer]byte)(buf)) }
