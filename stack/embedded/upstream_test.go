package embedded

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regctl/stack/auth"
)

// behind serves handler at a unix socket and returns the upstream for it.
func behind(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{
		name: "registry", socket: filepath.Join(t.TempDir(), "s.sock"),
		answer: time.Minute, wait: time.Millisecond, log: slog.New(slog.DiscardHandler),
	}
	if handler != nil {
		serveAt(t, u.socket, handler)
	}
	return u
}

func serveAt(t *testing.T, socket string, handler http.Handler) {
	t.Helper()
	ln, err := auth.ListenUnix(socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(handler, nil, slog.New(slog.DiscardHandler))
	go func() { _ = srv.serve(ln) }()
	t.Cleanup(func() { _ = srv.stop(0) })
}

// edgeOf serves TLS and HTTP/2 in front of u as registry and auth server.
func edgeOf(t *testing.T, u *upstream) *httptest.Server {
	t.Helper()
	edge := httptest.NewUnstartedServer(NewEdge(EdgeOptions{Registry: u.handler(), Auth: u.handler(), HSTS: true, Log: u.log}))
	edge.EnableHTTP2 = true
	edge.StartTLS()
	t.Cleanup(edge.Close)
	return edge
}

// http1 is a client's transport without HTTP/2.
func http1(edge *httptest.Server) *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(edge.Certificate())
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
}

// What an upstream is told of a client is what the edge knows, whatever the
// client says, and the rest is passed on as it is.
func TestUpstreamHeaders(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "none")
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Docker-Content-Digest", "sha256:1")
		got <- r
	})
	edge := edgeOf(t, u)
	req, err := http.NewRequest(http.MethodGet, edge.URL+"/v2/a%2Fb/x?n=1;%zz&m=%20", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Forwarded-For": "6.6.6.6", "X-Real-Ip": "6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http",
		"Forwarded": "for=6.6.6.6", "X-Forwarded-Prefix": "/evil", "Upgrade": "h2c", "Connection": "X-Forwarded-Proto, Upgrade", "Authorization": "Bearer x",
		"User-Agent": "docker/29", "Accept": "a",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http1(edge).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	in := <-got
	for name, want := range map[string]string{
		"X-Forwarded-For": "[127.0.0.1]", "X-Real-Ip": "[127.0.0.1]", "X-Forwarded-Proto": "[https]", "X-Forwarded-Host": "[]", "Forwarded": "[]",
		"X-Forwarded-Prefix": "[]", "Upgrade": "[]", "Connection": "[]", "Authorization": "[Bearer x]", "User-Agent": "[docker/29]", "Accept": "[a]",
	} {
		if seen := fmt.Sprint(in.Header[name]); seen != want {
			t.Errorf("the upstream saw %s %s, want %s", name, seen, want)
		}
	}
	if in.RequestURI != "/v2/a%2Fb/x?n=1;%zz&m=%20" || "https://"+in.Host != edge.URL {
		t.Errorf("the upstream saw %s at %s", in.RequestURI, in.Host)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "[nosniff]", "Strict-Transport-Security": "[max-age=63072000]", "X-Hop": "[]", "Docker-Content-Digest": "[sha256:1]",
	} {
		if seen := fmt.Sprint(resp.Header[name]); seen != want {
			t.Errorf("the client saw %s %s, want %s", name, seen, want)
		}
	}
}

func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		answer  time.Duration
		want    int
		text    string
	}{
		"missing": {nil, time.Minute, 502, "bad gateway: the registry does not answer\n"},
		"cuts":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, time.Minute, 502, "bad gateway: the registry does not answer\n"},
		"stalls":  {stall, 50 * time.Millisecond, 504, "gateway timeout: the registry took too long\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := behind(t, test.handler)
			u.answer = test.answer
			edge := edgeOf(t, u)
			for _, path := range []string{"/v2/", "/auth"} {
				resp, err := edge.Client().Post(edge.URL+path, "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != test.want || string(text) != test.text || resp.Header.Get("Strict-Transport-Security") == "" {
					t.Errorf("%s: %s %q, %v", path, resp.Status, text, resp.Header)
				}
			}
		})
	}
}

// stall answers nothing until the edge hangs up, which net/http notices when the
// body was read.
func stall(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// An upstream that comes back within the wait costs no request.
func TestUpstreamIsWaitedFor(t *testing.T) {
	t.Parallel()
	u := behind(t, nil)
	u.wait = time.Hour
	edge := edgeOf(t, u)
	ended := make(chan error, 1)
	go func() {
		resp, err := edge.Client().Get(edge.URL + "/v2/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s", resp.Status)
			}
		}
		ended <- err
	}()
	time.Sleep(3 * connectRetry) // so that it likely waits; it must work if it does not
	serveAt(t, u.socket, named("registry"))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Half an answer is not passed on as a whole one, and an early refusal arrives
// although the client has not sent all.
func TestUpstreamPartly(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
		panic(http.ErrAbortHandler)
	})
	edge := edgeOf(t, u)
	client := &http.Client{Transport: http1(edge), Timeout: time.Minute}
	for _, path := range []string{"/v2/", "/auth"} {
		resp, err := client.Get(edge.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Errorf("%s: %d bytes passed as a whole answer", path, n)
		}
		body, feed := io.Pipe()
		go func() { _, _ = feed.Write([]byte("begin")) }()
		req, err := http.NewRequest(http.MethodPost, edge.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 20 // net/http in the upstream waits for smaller ones
		if resp, err = client.Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
			t.Fatalf("%s: an early refusal: %v, %v", path, resp, err)
		}
		feed.Close()
		resp.Body.Close()
	}
}
