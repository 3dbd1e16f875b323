package embedded

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// named answers with its name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

func TestEdgeRoutes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		host, authHost string // of the edge
		asked, path    string
		want           int
		by             string // who answered, with 200
	}{
		{"", "", "127.0.0.1:5000", "/v2/", 200, "registry"},
		{"", "", "127.0.0.1", "/v2", 200, "registry"},
		{"", "", "127.9.9.9:1", "/v2/app/manifests/1", 200, "registry"},
		{"", "", "[::1]:5000", "/v2/", 200, "registry"},
		{"", "", "[::ffff:127.0.0.1]", "/v2/", 200, "registry"},
		{"", "", "LocalHost.:5000", "/auth", 200, "auth"},
		{"", "", "localhost", "/auth/token", 200, "auth"},
		{"", "", "localhost", "/token", 200, "auth"},
		{"", "", "localhost", "/auth/", 404, ""},
		{"", "", "localhost", "/auth/token/x", 404, ""},
		{"", "", "localhost", "/", 404, ""},
		{"", "", "localhost", "/v1/", 404, ""},
		{"", "", "localhost", "/v2x/", 404, ""},
		{"", "", "localhost", "/x/v2/", 404, ""},
		{"", "", "localhost", "/metrics", 404, ""},
		{"", "", "reg.example", "/v2/", 421, ""},
		{"", "", "localhost.evil.example", "/v2/", 421, ""},
		{"", "", "10.0.0.1:5000", "/v2/", 421, ""},
		{"", "", "0.0.0.0:5000", "/v2/", 421, ""},
		{"", "", "localhost:port", "/v2/", 421, ""},
		{"", "", "localhost:99999", "/v2/", 421, ""},
		{"", "", "[::1", "/v2/", 421, ""},
		{"", "", "[::1%25eth0]", "/v2/", 421, ""},
		{"", "", "", "/v2/", 421, ""},
		{"reg.example", "", "reg.example", "/v2/", 200, "registry"},
		{"reg.example", "", "REG.example:8443", "/auth", 200, "auth"},
		{"reg.example", "", "127.0.0.1:5000", "/v2/", 200, "registry"},
		{"reg.example", "", "x.reg.example", "/v2/", 421, ""},
		{"reg.example", "", "example", "/auth", 421, ""},
		{"reg.example", "auth.example", "reg.example", "/v2/", 200, "registry"},
		{"reg.example", "auth.example", "reg.example", "/auth", 404, ""},
		{"reg.example", "auth.example", "localhost", "/auth", 404, ""},
		{"reg.example", "auth.example", "localhost", "/v2/", 200, "registry"},
		{"reg.example", "auth.example", "auth.example:5000", "/auth", 200, "auth"},
		{"reg.example", "auth.example", "auth.example", "/v2/", 404, ""},
		{"reg.example", "auth.example", "other.example", "/auth", 421, ""},
		{"reg.example", "reg.example", "reg.example", "/auth", 200, "auth"},
	} {
		edge := NewEdge(EdgeOptions{Registry: named("registry"), Auth: named("auth"), Host: test.host, AuthHost: test.authHost})
		request := httptest.NewRequest(http.MethodGet, test.path, nil)
		request.Host = test.asked
		answer := httptest.NewRecorder()
		edge.ServeHTTP(answer, request)
		if answer.Code != test.want || test.by != "" && answer.Body.String() != test.by {
			t.Errorf("edge (%q, %q): %s%s: %d %q, want %d %q", test.host, test.authHost, test.asked, test.path,
				answer.Code, answer.Body, test.want, test.by)
		}
		if answer.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s%s: no nosniff", test.asked, test.path)
		}
		if answer.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s%s: HSTS", test.asked, test.path)
		}
		if test.want == 421 && strings.Count(answer.Body.String(), "\n") != 1 {
			t.Errorf("421 with %q, want one line", answer.Body)
		}
	}
}

func TestEdgeOwnsForwardedHeaders(t *testing.T) {
	t.Parallel()
	spoofed := http.Header{
		"X-Forwarded-For": {"198.51.100.7"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"gopher", "https"},
		"X-Forwarded-Port": {"1"}, "Forwarded": {"host=evil.example;proto=gopher"}, "X-Real-Ip": {"198.51.100.7"}, "Accept": {"x"},
	}
	for _, path := range []string{"/v2/", "/auth"} {
		var seen http.Header
		inner := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
		edge := NewEdge(EdgeOptions{Registry: inner, Auth: inner})
		for target, scheme := range map[string]string{"http://localhost": "http", "https://localhost": "https"} {
			request := httptest.NewRequest(http.MethodGet, target+path, nil) // sets TLS for https
			request.Header = spoofed.Clone()
			edge.ServeHTTP(httptest.NewRecorder(), request)
			if len(seen) != 2 || seen.Get("Accept") != "x" || strings.Join(seen["X-Forwarded-Proto"], ",") != scheme {
				t.Errorf("%s%s: handed on %v", target, path, seen)
			}
			if len(request.Header) != len(spoofed) {
				t.Error("the caller's request was changed")
			}
		}
	}
}

func TestSpoofedHeadersDoNotChangeURLs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	spoofed := http.Header{
		"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"host=evil.example;proto=https"},
	}
	resp := upload(t, s, s.issuer.token("repository:app:pull,push"), spoofed)
	if got, want := resp.Header.Get("Location"), s.url+"/v2/app/blobs/uploads/"; resp.StatusCode != http.StatusAccepted || !strings.HasPrefix(got, want) {
		t.Errorf("%s, Location %q, want %q", resp.Status, got, want)
	}
	resp = upload(t, s, "", spoofed)
	if got, want := resp.Header.Get("WWW-Authenticate"), `Bearer realm="`+s.url+`/auth",`; !strings.HasPrefix(got, want) {
		t.Errorf("challenge %s, want %s", got, want)
	}
}

func TestEdgeAccessLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	edge := NewEdge(EdgeOptions{Registry: named("hello"), Auth: named("auth"), AccessLog: &log})
	request := httptest.NewRequest(http.MethodGet, "http://localhost/v2/?account=hidden", nil)
	request.URL.Path = "/v2/\nforged line"
	request.Header.Set("Authorization", "Bearer hidden")
	edge.ServeHTTP(httptest.NewRecorder(), request)
	line := log.String()
	if !strings.HasPrefix(line, "192.0.2.1 - - [") || !strings.HasSuffix(line, `] "GET /v2/%0Aforged%20line HTTP/1.1" 200 5 "-" "-"`+"\n") || strings.Count(line, "\n") != 1 || strings.Contains(line, "hidden") {
		t.Errorf("access log %q", line)
	}
}

func TestEdgePanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	edge := NewEdge(EdgeOptions{
		Registry: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("some bug") }), Auth: named("auth"),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("panicked with %v", cause)
		}
		if !strings.Contains(log.String(), "some bug") || !strings.Contains(log.String(), "TestEdgePanic") {
			t.Errorf("log %s", &log)
		}
	}()
	edge.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://localhost/v2/", nil))
}

func TestCheckHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "Reg.Example.": "reg.example", "localhost": "localhost", "10.0.0.1": "10.0.0.1", "::1": "::1", "0:0::1": "::1", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		if got, err := checkHost(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"reg.example:443", "[::1]", "https://reg.example", "reg..example", ".", "-a.example", "a-.example", "a b", "a_b", "bücher.example", "*.example",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "aa", "fe80::1%eth0",
	} {
		if got, err := checkHost(in); err == nil {
			t.Errorf("%q: accepted as %q", in, got)
		}
	}
}
