package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// trusting returns a transport that finds every host at the server and trusts
// the CA that users are told to trust, and no other.
func (s *served) trusting() *http.Transport {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "certs", "local-ca.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Transport{
		DialContext: s.dialTo, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
}

// The article's two host names over TLS, with a real client.
func TestServeTLSWithTwoNames(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "srv"), "--tls", "--host", "registry.test", "--auth-host", "auth.test")
	if r := s.command("", "status"); r.code != 0 || !regexp.MustCompile(`(?m)^ok +certificate +by regctl local CA [0-9a-f]+, 29 days left$`).MatchString(r.stdout) {
		t.Errorf("%+v", r)
	}
	if r := s.command("secret", "user", "add", "waldi", "--password-stdin", "--label", "full-access=test"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	_, port, _ := net.SplitHostPort(s.at().Address)
	ref := func(path string) name.Reference {
		t.Helper()
		r, err := name.ParseReference("registry.test:" + port + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	as := func(password string) []remote.Option {
		return []remote.Option{
			remote.WithTransport(s.trusting()), remote.WithContext(t.Context()),
			remote.WithAuth(&authn.Basic{Username: "waldi", Password: password}),
		}
	}
	image, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref("test:latest"), image, as("secret")...); err != nil {
		t.Fatalf("push: %v\n%s", err, &s.stderr)
	}
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref("test@"+want.String()), as("secret")...)
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	if got, err := pulled.Digest(); err != nil || got != want {
		t.Errorf("pulled %v, %v", got, err)
	}
	wantRefused(t, remote.Write(ref("other:latest"), image, as("secret")...), "https://registry.test:"+port+"/v2/other/")
	wantRefused(t, remote.Write(ref("test:latest"), image, as("wrong")...), "https://auth.test:"+port+"/auth")
	s.stop()
}

// wantRefused expects the registry's, or the auth server's, 401.
func wantRefused(t *testing.T, err error, want string) {
	t.Helper()
	var refused *transport.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusUnauthorized || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want 401 with %q", err, want)
	}
}

// A client that asks for another name, or trusts nobody, gets no connection; a
// name that belongs to the other half gets no answer from this one.
func TestServeTLSNames(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "srv"), "--tls", "--host", "registry.test", "--auth-host", "auth.test")
	client := &http.Client{Transport: s.trusting()}
	for url, want := range map[string]int{
		"https://registry.test/v2/":  http.StatusUnauthorized,
		"https://auth.test/auth":     http.StatusUnauthorized,
		"https://registry.test/auth": http.StatusNotFound,
		"https://auth.test/v2/":      http.StatusNotFound,
		"https://localhost/v2/":      http.StatusUnauthorized,
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != want || resp.Proto != "HTTP/2.0" {
			t.Errorf("%s: %s %s, want %d", url, resp.Proto, resp.Status, want)
		}
		if challenge := resp.Header.Get("WWW-Authenticate"); strings.HasSuffix(url, "test/v2/") && want == http.StatusUnauthorized &&
			!strings.HasPrefix(challenge, `Bearer realm="https://auth.test:`) {
			t.Errorf("%s: challenge %s", url, challenge)
		}
	}
	if _, err := client.Get("https://other.test/v2/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("another name: %v", err)
	}
	stranger := s.trusting()
	stranger.TLSClientConfig.RootCAs = x509.NewCertPool()
	if _, err := (&http.Client{Transport: stranger}).Get("https://registry.test/v2/"); err == nil {
		t.Error("a client that trusts nobody got an answer")
	}
	old := s.trusting()
	old.TLSClientConfig.MaxVersion = tls.VersionTLS11
	if _, err := (&http.Client{Transport: old}).Get("https://registry.test/v2/"); err == nil {
		t.Error("TLS 1.1 was served")
	}
	s.stop()
}
