package embedded

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPlainEdgeRedirects(t *testing.T) {
	t.Parallel()
	file := &EdgeFile{Host: "reg.example", AuthHost: "auth.example", HTTPSPort: 443}
	for _, test := range []struct {
		port               int
		target, host, want string
	}{
		{443, "/", "reg.example", "https://reg.example/"},
		{443, "/v2/a%2Fb/?n=1;2%20&x", "REG.example.:80", "https://reg.example/v2/a%2Fb/?n=1;2%20&x"},
		{8443, "/auth", "auth.example:8080", "https://auth.example:8443/auth"},
		{443, "/", "evil.example", "https://reg.example/"},
		{443, "//evil.example/..", "reg.example", "https://reg.example//evil.example/.."},
		{443, "/\\evil.example", "reg.example", "https://reg.example/%5Cevil.example"},
		{443, "/a%0d%0aSet-Cookie:x", "reg.example", "https://reg.example/a%0d%0aSet-Cookie:x"},
		{443, "http://evil.example/x", "reg.example", "https://reg.example/x"},
		{443, "/.well-known/acme-challenge", "reg.example", "https://reg.example/.well-known/acme-challenge"},
		{443, "/", "", "https://reg.example/"},
	} {
		file.HTTPSPort = test.port
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, test.target, nil)
		r.Host = test.host
		newPlainEdge(file, nil, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusMovedPermanently || got != test.want || w.Header().Get("X-Content-Type-Options") == "" {
			t.Errorf("%s at %q: %d to %q, want %q", test.target, test.host, w.Code, got, test.want)
		}
	}
}

func TestPlainEdgeChallenges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	webroot := filepath.Join(dir, "webroot")
	challenges := filepath.Join(webroot, challengePath)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(challenges, "directory"), 0o755))
	must(os.WriteFile(filepath.Join(challenges, "good_token-1"), []byte("good_token-1.thumbprint"), 0o644))
	must(os.WriteFile(filepath.Join(challenges, "large"), make([]byte, 1<<20), 0o644))
	must(os.WriteFile(filepath.Join(challenges, "name.txt"), nil, 0o644))
	must(os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644))
	must(os.Symlink(filepath.Join(dir, "secret"), filepath.Join(challenges, "absolute")))
	must(os.Symlink("../../../secret", filepath.Join(challenges, "relative")))
	must(os.Symlink("good_token-1", filepath.Join(challenges, "inside")))
	must(syscall.Mkfifo(filepath.Join(challenges, "pipe"), 0o644))
	edge := newPlainEdge(&EdgeFile{Host: "reg.example", HTTPSPort: 443, ACMEWebroot: webroot}, nil, slog.New(slog.DiscardHandler))
	for _, test := range []struct {
		method, name string
		want         int
		text         string
	}{
		{"GET", "good_token-1", 200, "good_token-1.thumbprint"},
		{"HEAD", "good_token-1", 200, "good_token-1.thumbprint"}, // net/http sends no body
		{"GET", "good%5Ftoken-1", 200, "good_token-1.thumbprint"},
		{"GET", "inside", 200, "good_token-1.thumbprint"},
		{"GET", "large", 200, strings.Repeat("\x00", maxChallenge)},
		{"POST", "good_token-1", 405, ""},
		{"GET", "", 404, ""},
		{"GET", "none", 404, ""},
		{"GET", "directory", 404, ""},
		{"GET", "directory/", 404, ""},
		{"GET", ".", 404, ""},
		{"GET", "..", 404, ""},
		{"GET", "../../../secret", 404, ""},
		{"GET", "%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret", 404, ""},
		{"GET", "good_token-1%00", 404, ""},
		{"GET", "name.txt", 404, ""},
		{"GET", "absolute", 404, ""},
		{"GET", "relative", 404, ""},
		{"GET", "pipe", 404, ""},
		{"GET", strings.Repeat("a", 300), 404, ""},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(test.method, challengePath+test.name, nil)
		r.Host = "anything.example" // a CA may be on its way by another name
		edge.ServeHTTP(w, r)
		if w.Code != test.want || test.want == http.StatusOK && w.Body.String() != test.text || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s: %d %.40q, want %d", test.method, test.name, w.Code, w.Body, test.want)
		}
	}
	must(os.RemoveAll(webroot))
	w := httptest.NewRecorder()
	edge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, challengePath+"x", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("without a web root: %d", w.Code)
	}
}
