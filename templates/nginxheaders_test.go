package templates_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// checkHeaders wants those of every answer, once.
func checkHeaders(t *testing.T, what string, a answer) {
	t.Helper()
	for key, want := range map[string]string{
		"Strict-Transport-Security": "max-age=63072000",
		"X-Content-Type-Options":    "nosniff",
	} {
		if got := a.Header.Values(key); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %s: %s %q, want %q", what, a.Status, key, got, want)
		}
	}
	if server := a.Header.Get("Server"); server != "nginx" {
		t.Errorf("%s: Server %q", what, server)
	}
}

func TestNginxHeadersOnEveryAnswer(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		r.backend("registry", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Content-Type-Options", "nosniff") // as http.Error does
			w.Header().Set("Strict-Transport-Security", "max-age=1")
			w.WriteHeader(http.StatusUnauthorized)
		}))
		at := fmt.Sprintf("https://registry.test:%d", r.HTTPSPort)
		for _, http2 := range []bool{false, true} {
			client := r.client(http2)
			for _, test := range []struct {
				method, path string
				size         int
				want         int
			}{
				{"GET", "/v2/", 0, 401},
				{"GET", "/", 0, 404},
				{"GET", "/favicon.ico", 0, 404},
				{"POST", "/auth", 32<<10 + 1, 413},
				{"POST", "/", 32<<10 + 1, 413},
				{"GET", "/auth", 0, 502}, // nobody listens
				{"GET", "/v2/" + strings.Repeat("x", 40<<10), 0, 414},
			} {
				if http2 && test.want == http.StatusRequestURITooLong {
					continue // it ends the connection
				}
				got := ask(t, client, test.method, at+test.path, strings.NewReader(strings.Repeat("x", test.size)), nil)
				what := fmt.Sprintf("%s %.20s", test.method, test.path)
				if got.StatusCode != test.want {
					t.Errorf("%s: %s, want %d", what, got.Status, test.want)
				}
				checkHeaders(t, what, got)
			}
		}
	})
}

func TestNginxForwardsNoForgery(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		headers := make(chan http.Header, 1)
		handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			seen := req.Header.Clone()
			seen.Set("Host", req.Host)
			headers <- seen
		})
		r.backend("registry", handler)
		r.backend("auth", handler)
		forged := http.Header{"Authorization": {"Bearer x"}, "User-Agent": {"test"}}
		for _, key := range []string{
			"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
			"X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Real-Ip", "Forwarded", "X_Forwarded_Host", "X_Real_IP",
		} {
			forged[key] = []string{"6.6.6.6", "evil.test"}
		}
		host := fmt.Sprintf("registry.test:%d", r.HTTPSPort)
		want := http.Header{
			"Authorization": {"Bearer x"}, "User-Agent": {"test"}, "Accept-Encoding": {"gzip"}, "Host": {host},
			"X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"},
		}
		for _, http2 := range []bool{false, true} {
			for _, path := range []string{"/v2/", "/v2", "/auth", "/auth/token", "/token"} {
				said := ask(t, r.client(http2), "GET", "https://"+host+path, nil, forged)
				select {
				case got := <-headers:
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s: got\n%v, want\n%v", path, got, want)
					}
				default:
					t.Errorf("%s: nobody was asked: %s", path, said.Status)
				}
			}
		}
	})
}
