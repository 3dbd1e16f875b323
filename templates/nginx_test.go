package templates_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"regctl/templates"
)

// eachNginx runs a test for all programs there are.
func eachNginx(t *testing.T, test func(t *testing.T, version, program string)) {
	t.Parallel()
	for version, program := range nginxes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, version, program)
		})
	}
}

func TestNginxAcceptsEveryExample(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		ca := newAuthority(t)
		long := example{"longest name", func(d *templates.Data) {
			d.Host = strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 38)
			d.AuthHost = strings.Repeat(strings.Repeat("c", 63)+".", 3) + strings.Repeat("d", 38)
		}}
		for _, e := range append(examples(), long) {
			d := e.data()
			if d.Builtin {
				continue
			}
			d.HTTPPort, d.HTTPSPort = freePort(t), freePort(t)
			d = install(t, d, version, ca, newKey(t))
			said, err := nginx(program, d, "-t").CombinedOutput()
			want := fmt.Sprintf("nginx: the configuration file %[1]s syntax is ok\nnginx: configuration file %[1]s test is successful\n",
				filepath.Join(d.Dir, "nginx", "nginx.conf"))
			if err != nil || string(said) != want {
				t.Errorf("%s: %v\n%s", e.name, err, said)
			}
		}
	})
}

// answer is what came back, with its body.
type answer struct {
	*http.Response
	body string
}

func ask(t *testing.T, client *http.Client, method, url string, body io.Reader, header http.Header) answer {
	t.Helper()
	got, err := try(t.Context(), client, method, url, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// try is ask for goroutines.
func try(ctx context.Context, client *http.Client, method, url string, body io.Reader, header http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	for key, values := range header {
		req.Header[key] = values
		if key == "Host" {
			req.Host = values[0]
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

// named answers with its name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.URL.Path) })
}

func TestNginxRoutes(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		for _, test := range []struct {
			authHost string
			by       map[string]string // who answers a URL; "" is 404
		}{
			{"", map[string]string{
				"registry.test/v2": "registry", "registry.test/v2/": "registry", "registry.test/v2/app/manifests/1": "registry",
				"registry.test/auth": "auth", "registry.test/auth/token": "auth", "registry.test/token": "auth",
				"registry.test/auth/": "", "registry.test/auth/token/x": "", "registry.test/": "", "registry.test/v1/": "",
				"registry.test/v2x": "", "registry.test/x/v2/": "", "registry.test/metrics": "", "registry.test/debug/pprof/": "",
			}},
			{"auth.test", map[string]string{
				"registry.test/v2/": "registry", "registry.test/auth": "", "registry.test/token": "",
				"auth.test/auth": "auth", "auth.test/auth/token": "auth", "auth.test/token": "auth",
				"auth.test/v2/": "", "auth.test/v2": "", "auth.test/": "",
			}},
		} {
			d := minimal()
			d.AuthHost = test.authHost
			r := serve(t, d, version, program)
			r.backend("registry", named("registry"))
			r.backend("auth", named("auth"))
			client := r.client(true)
			for url, by := range test.by {
				host, path, _ := strings.Cut(url, "/")
				got := ask(t, client, "GET", fmt.Sprintf("https://%s:%d/%s", host, r.HTTPSPort, path), nil, nil)
				switch {
				case got.ProtoMajor != 2:
					t.Errorf("%s: %s", url, got.Proto)
				case by == "" && got.StatusCode != http.StatusNotFound:
					t.Errorf("%s: %s %s", url, got.Status, got.body)
				case by != "" && (got.StatusCode != http.StatusOK || got.body != by+" /"+path):
					t.Errorf("%s: %s %q, want %s", url, got.Status, got.body, by)
				}
			}
		}
	})
}

func TestNginxPort80(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		d := minimal()
		d.AuthHost = "auth.test"
		r := serve(t, d, version, program)
		challenge := filepath.Join(r.Dir, "acme/webroot/.well-known/acme-challenge")
		writeFile(t, filepath.Join(challenge, "token_-1"), "proof")
		writeFile(t, filepath.Join(r.Dir, "acme", "secret"), "secret")
		client := r.client(false)
		at := fmt.Sprintf("http://127.0.0.1:%d", r.HTTPPort)
		port := fmt.Sprintf(":%d", r.HTTPSPort)
		for _, test := range []struct{ host, path, want string }{
			{"registry.test", "/v2/?a=b", "301 https://registry.test" + port + "/v2/?a=b"},
			{"registry.test:80", "/", "301 https://registry.test" + port + "/"},
			{"auth.test", "/auth", "301 https://auth.test" + port + "/auth"},
			{"evil.test", "/x", "301 https://registry.test" + port + "/x"},
			{"10.0.0.1", "//evil.test", "301 https://registry.test" + port + "//evil.test"},
			{"registry.test", "/.well-known/acme-challenge/token_-1", "200 proof"},
			{"evil.test", "/.well-known/acme-challenge/token_-1", "200 proof"},
			{"registry.test", "/.well-known/acme-challenge/none", "404"},
			{"registry.test", "/.well-known/acme-challenge/", "404"},
			{"registry.test", "/.well-known/acme-challenge/../../../secret", "400"},
			{"registry.test", "/.well-known/acme-challenge/..%2f..%2f..%2fsecret", "400"},
		} {
			got := ask(t, client, "GET", at+test.path, nil, http.Header{"Host": {test.host}})
			text := fmt.Sprint(got.StatusCode, " ", got.Header.Get("Location"))
			if got.StatusCode == http.StatusOK {
				text = "200 " + got.body
			}
			if text != test.want && !(len(test.want) == 3 && strings.HasPrefix(text, test.want)) {
				t.Errorf("%s%s: %s, want %s", test.host, test.path, text, test.want)
			}
			if nosniff := got.Header.Values("X-Content-Type-Options"); !slices.Equal(nosniff, []string{"nosniff"}) {
				t.Errorf("%s%s: X-Content-Type-Options %q", test.host, test.path, nosniff)
			}
			if hsts := got.Header.Values("Strict-Transport-Security"); hsts != nil {
				t.Errorf("%s%s: Strict-Transport-Security %q without TLS", test.host, test.path, hsts)
			}
		}
	})
}

func TestNginxRefusesOtherNames(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		for _, name := range []string{"other.test", ""} {
			conn, err := tls.Dial("tcp", r.addr(r.HTTPSPort), &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if err == nil {
				conn.Close()
			}
			refuses := !(templates.Data{NginxVersion: version}).NginxBefore("1.19.4")
			switch {
			case refuses && (err == nil || !strings.Contains(err.Error(), "unrecognized name")):
				t.Errorf("%q: %v", name, err)
			case !refuses && err != nil:
				t.Errorf("%q: %v", name, err)
			}
		}
		got := ask(t, r.client(false), "GET", fmt.Sprintf("https://registry.test:%d/v2/", r.HTTPSPort), nil, http.Header{"Host": {"other.test"}})
		if got.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("another host on a connection for ours: %s", got.Status)
		}
		checkHeaders(t, "another host", got)
	})
}

func TestNginxLimitsTokenRequests(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		r.backend("auth", named("auth"))
		r.backend("registry", named("registry"))
		client := r.client(true)
		at := fmt.Sprintf("https://registry.test:%d", r.HTTPSPort)
		var counts sync.Map // of statuses
		for over := time.Now().Add(patience); time.Now().Before(over); {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					got, err := try(t.Context(), client, "GET", at+"/auth", nil, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if got.StatusCode == http.StatusTooManyRequests {
						checkHeaders(t, "too many", got)
					}
					counts.Store(got.StatusCode, true)
				})
			}
			wg.Wait()
			if _, limited := counts.Load(http.StatusTooManyRequests); limited {
				break
			}
		}
		for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
			if _, ok := counts.LoadAndDelete(want); !ok {
				t.Errorf("no answer was %d", want)
			}
		}
		counts.Range(func(status, _ any) bool {
			t.Errorf("some answer was %d", status)
			return true
		})
		for range 50 {
			if got := ask(t, client, "GET", at+"/v2/", nil, nil); got.StatusCode != http.StatusOK {
				t.Fatalf("the registry is limited too: %s", got.Status)
			}
		}
	})
}

// What a client chooses cannot make a line, or change what is before it.
func TestNginxLog(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		at := fmt.Sprintf("https://registry.test:%d", r.HTTPSPort)
		ask(t, r.client(false), "GET", at+"/%0a6.6.6.6%20\"x\"", nil, http.Header{"User-Agent": {`a" 6.6.6.6`}})
		var lines []string
		for over := time.Now().Add(patience); len(lines) == 0 && time.Now().Before(over); time.Sleep(20 * time.Millisecond) {
			text, err := os.ReadFile(r.log)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, "6.6.6.6") {
					lines = append(lines, line)
				}
			}
		}
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "127.0.0.1 [") || !strings.Contains(lines[0], `] 404 GET registry.test "/%0A6.6.6.6%20`) ||
			!strings.HasSuffix(lines[0], `"a\x22 6.6.6.6"`+"\n") {
			t.Errorf("%q", lines)
		}
	})
}
