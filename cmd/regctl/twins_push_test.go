package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func (s *twins) ref(path string) name.Reference {
	s.t.Helper()
	ref, err := name.ParseReference("registry.test:" + s.port() + "/" + path)
	s.must(err)
	return ref
}

func (s *twins) alice() []remote.Option {
	return []remote.Option{
		remote.WithTransport(s.transport()), remote.WithContext(s.t.Context()),
		remote.WithAuth(&authn.Basic{Username: "alice", Password: "secret"}),
	}
}

func (s *twins) image() v1.Image {
	s.t.Helper()
	image, err := random.Image(300_000, 2)
	s.must(err)
	return image
}

// Three processes as in containers, with a real client over TLS.
func TestTwins(t *testing.T) {
	t.Parallel()
	s := startTwins(t)
	image := s.image()
	digest, err := image.Digest()
	s.must(err)
	s.must(remote.Write(s.ref("alice/app:1"), image, s.alice()...))
	pulled, err := remote.Image(s.ref("alice/app@"+digest.String()), s.alice()...)
	s.must(err)
	s.must(remote.Write(s.ref("alice/mounted:1"), pulled, s.alice()...))
	s.must(remote.Delete(s.ref("alice/app@"+digest.String()), s.alice()...))
	var denied *transport.Error
	if err := remote.Write(s.ref("bob/app:1"), image, s.alice()...); !errors.As(err, &denied) || denied.StatusCode != http.StatusUnauthorized {
		t.Errorf("a push to bob/app: %v", err)
	}

	// The client's address gets to the auth server, whatever the client says.
	if audit := readText(t, filepath.Join(s.dir, "data/auth/audit.log")); !strings.Contains(audit, `"client":"127.0.0.1"`) {
		t.Errorf("audit log\n%s", audit)
	}
	if log := s.edge.stdout.String(); !regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[.*\] "PUT /v2/alice/app/manifests/1 HTTP/2\.0" 201 `).MatchString(log) {
		t.Errorf("access log\n%s", log)
	}
	s.checkUsers()
	s.checkHealth()

	for _, d := range []*daemon{s.edge, s.registry, s.auth} {
		d.stop()
	}
	for _, socket := range []string{"run/registry/registry.sock", "run/auth/auth.sock", "run/admin.sock"} {
		if _, err := os.Lstat(filepath.Join(s.dir, socket)); err == nil {
			t.Errorf("%s is still there", socket)
		}
	}
}

// checkUsers looks at who runs, who owns the sockets, and that root reaches the
// auth server's.
func (s *twins) checkUsers() {
	s.t.Helper()
	for _, d := range []*daemon{s.edge, s.registry, s.auth} {
		status := readText(s.t, fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
		for _, want := range []string{`Uid:\t101\t101\t101\t101`, `Gid:\t101\t101\t101\t101`, `Groups:\t *`, `CapPrm:\t0+`, `CapEff:\t0+`} {
			if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(status) {
				s.t.Errorf("regctl %s: want %s\n%s", d.args[0], want, status)
			}
		}
	}
	for socket, mode := range map[string]os.FileMode{"run/registry/registry.sock": 0o755, "run/auth/auth.sock": 0o755, "run/admin.sock": 0o600} {
		info, err := os.Lstat(filepath.Join(s.dir, socket))
		s.must(err)
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != containerUser || info.Mode().Perm() != mode {
			s.t.Errorf("%s is of user %d, mode %s", socket, owner, info.Mode())
		}
	}
	if r := s.regctl("user", "list", "--dir", s.dir); r.code != codeDone {
		s.t.Errorf("root at the admin socket: %+v", r)
	}
}

// checkHealth asks as compose.yaml does.
func (s *twins) checkHealth() {
	s.t.Helper()
	socket := func(name string) string { return filepath.Join(s.dir, "run", name, name+".sock") }
	for _, test := range []struct {
		want int
		args []string
	}{
		{0, []string{"--socket", socket("registry"), "http://registry/"}},
		{0, []string{"--socket", socket("auth"), "http://auth/"}},
		{0, []string{"--connect", s.https, "https://registry.test/"}},
		{0, []string{"http://" + s.http + "/"}},
		{1, []string{"--connect", s.https, "https://other.test/"}},
		{1, []string{"http://127.0.0.1:1/"}},
		{1, []string{"--socket", socket("none"), "http://none/"}},
		{2, []string{"--socket", socket("auth"), "--connect", s.https, "http://auth/"}},
		{2, []string{"unix:/run/auth.sock"}},
	} {
		r := s.regctl(append([]string{"healthcheck"}, test.args...)...)
		if r.code != test.want || strings.Count(r.stderr, "\n") != min(test.want, 2) || r.stdout != "" {
			s.t.Errorf("%q: %+v, want exit %d", test.args, r, test.want)
		}
	}
}

// regctl runs a command to its end.
func (s *twins) regctl(args ...string) result {
	s.t.Helper()
	return runProgram(s.t, &exec.Cmd{Path: s.program, Args: append([]string{"regctl"}, args...)}, "")
}

// Headers that clients need, on every kind of answer.
func TestTwinsAnswers(t *testing.T) {
	t.Parallel()
	s := startTwins(t)
	s.must(os.WriteFile(filepath.Join(s.dir, "acme/webroot/.well-known/acme-challenge/token"), []byte("answer"), 0o644))
	client := &http.Client{Transport: s.transport()}
	for path, want := range map[string]int{
		"/v2/": 401, "/v2/alice/app/manifests/1": 401, "/auth": 401, "/": 404, "/metrics": 404, "/auth/": 404,
	} {
		resp, err := client.Get(s.url(path))
		s.must(err)
		resp.Body.Close()
		hsts, sniff := resp.Header["Strict-Transport-Security"], resp.Header["X-Content-Type-Options"]
		if resp.StatusCode != want || fmt.Sprint(hsts, sniff) != "[max-age=63072000] [nosniff]" {
			t.Errorf("%s: %s, %v", path, resp.Status, resp.Header)
		}
	}
	resp, err := client.Get("https://registry.test:" + s.port() + "/v2/")
	s.must(err)
	if got, want := resp.Header.Get("WWW-Authenticate"), `Bearer realm="`+s.url("/auth")+`",service="Docker registry"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	resp.Body.Close()

	_, err = tls.Dial("tcp", s.https, &tls.Config{ServerName: "other.test", RootCAs: s.ca.roots})
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: unrecognized name") {
		t.Errorf("a handshake for other.test: %v", err)
	}
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err = plain.Get("http://" + s.http + "/v2/a%2Fb?x=1")
	s.must(err)
	resp.Body.Close()
	if got, want := resp.Header.Get("Location"), s.url("/v2/a%2Fb?x=1"); resp.StatusCode != http.StatusMovedPermanently || got != want {
		t.Errorf("%s to %s, want %s", resp.Status, got, want)
	}
	resp, err = plain.Get("http://" + s.http + "/.well-known/acme-challenge/token")
	s.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != 6 {
		t.Errorf("the challenge: %v", resp)
	}
	// One address asks for more tokens than its burst.
	limited := 0
	for range 120 {
		resp, err := client.Get(s.url("/auth"))
		s.must(err)
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "1" && resp.Header.Get("Strict-Transport-Security") != "" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("120 token requests, and none was refused")
	}
}

// A port that is taken, and files that cannot be read after root was given up,
// are told.
func TestTwinsRefuseToStart(t *testing.T) {
	t.Parallel()
	s := twinsIn(t)
	edge := []string{"edge", "serve", "--user", fmt.Sprint(containerUser), filepath.Join(s.dir, "nginx/edge.yaml")}
	s.must(os.Chmod(filepath.Join(s.dir, "certs/live/registry.test.pem"), 0o600))
	if r := s.regctl(edge...); r.code != codeFailed || !strings.Contains(r.stderr, "registry.test.pem: permission denied") {
		t.Errorf("%+v", r)
	}
	ln, err := net.Listen("tcp", s.https)
	s.must(err)
	defer ln.Close()
	if r := s.regctl(edge...); r.code != codeFailed || !strings.Contains(r.stderr, s.https+": bind: address already in use") {
		t.Errorf("%+v", r)
	}
	s.write("nginx/edge.yaml", "http: [x]\nhost: a b\n", 0o644)
	if r := s.regctl(edge...); r.code != codeUsage || !strings.Contains(r.stderr, "edge.yaml: ") || !strings.Contains(r.stderr, "profile: ") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	registry := []string{"registry", "serve", filepath.Join(s.dir, "registry/config.yml")}
	s.write("registry/config.yml", strings.Replace(s.registryFile(), "age: 168h", "age: soon", 1), 0o640)
	if r := s.regctl(registry...); r.code != codeUsage || !strings.Contains(r.stderr, "Cannot parse duration") || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("%+v", r)
	}
	s.write("registry/config.yml", s.registryFile(), 0o640)
	s.startRegistry()
	if r := s.regctl(registry...); r.code != codeFailed || !strings.Contains(r.stderr, "another server answers there") {
		t.Errorf("a second registry at the same socket: %+v", r)
	}
	s.registry.kill() // leaves its socket
	s.startRegistry()
}
