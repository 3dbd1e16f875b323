package stack

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/bcrypt"

	"regctl/certs"
	"regctl/stack/auth"
	"regctl/stack/auth/store"
	"regctl/stack/embedded"
	"regctl/stack/stacktest"
)

const (
	service = "Docker registry"
	issuer  = "Acme auth server"
)

// testImage is what all clients push: two layers of random bytes.
type testImage struct {
	v1   v1.Image
	tar  string // the same as a docker archive
	name string // in it
}

func newImage(t *testing.T) *testImage {
	t.Helper()
	img, err := random.Image(20_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH // containerd imports no others
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	i := &testImage{v1: img, tar: filepath.Join(t.TempDir(), "image.tar"), name: "regctl.test/image:latest"}
	tag, err := name.NewTag(i.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(i.tar, tag, img); err != nil {
		t.Fatal(err)
	}
	return i
}

// registryKind is a registry to run behind our edge.
type registryKind struct {
	name string
	// open starts it, trusting bundle, with its token endpoint at realm.
	open func(t *testing.T, realm, bundle string) http.Handler
}

// registries returns those that this machine has, and why the others are missing.
func registries() (have []registryKind, missing []string) {
	have = []registryKind{{"embedded", func(t *testing.T, realm, bundle string) http.Handler {
		r, err := embedded.OpenRegistry(embedded.RegistryOptions{Dir: t.TempDir(), Realm: realm, Service: service, Issuer: issuer, SigningBundle: bundle})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}}}
	for _, r := range []struct{ name, program string }{{"registry 2.8", "docker-registry"}, {"registry 3.1", "registry"}} {
		path, err := stacktest.Tool(r.program)
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", r.name, err))
			continue
		}
		have = append(have, registryKind{r.name, func(t *testing.T, realm, bundle string) http.Handler {
			return registryProcess(t, path, realm, bundle)
		}})
	}
	return have, missing
}

// registryProcess runs a registry of its own on a unix socket.
func registryProcess(t *testing.T, path, realm, bundle string) http.Handler {
	t.Helper()
	dir, err := os.MkdirTemp("", "registry") // a short path: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, config := filepath.Join(dir, "s"), filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}
http: {net: unix, addr: %s, secret: test}
auth: {token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %q}}
`, dir, socket, realm, service, issuer, bundle)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stdout, cmd.Stderr = log, log
	// It must not outlive a test that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: %s", path, text)
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", path, err)
		}
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "registry"})
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Forwarded-Proto", "http")
		},
		Transport: &http.Transport{DialContext: dial},
	}
}

// setup is a registry and our auth server behind our edge.
type setup struct {
	addr   string
	mounts atomic.Int64 // of layers that the registry accepted
}

// waldi's rights are those of the article.
var waldi = account{"waldi", "correct horse"}

// newSetup signs tokens with what token says; bundle is what the registry trusts.
func newSetup(t *testing.T, kind registryKind, token auth.TokenConfig, bundle string) *setup {
	t.Helper()
	s := &setup{}
	token.Issuer, token.Expiration = issuer, 15*time.Minute
	hash, err := bcrypt.GenerateFromPassword([]byte(waldi.password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	full, readOnly, password := "${labels:full-access}", "${labels:read-only-access}", string(hash)
	srv, err := auth.New(t.Context(), &auth.Config{
		Token: token,
		Users: map[string]auth.StaticUser{waldi.user: {PasswordHash: &password, Labels: map[string][]string{"full-access": {"test/*", "socke*/*"}}}},
		ACL: []store.Rule{
			{Seq: 10, Match: store.Match{Name: &full}, Actions: []string{"*"}, Comment: "full access"},
			{Seq: 20, Match: store.Match{Name: &readOnly}, Actions: []string{"pull"}, Comment: "pull access"},
		},
	}, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	var edge http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w}
		edge.ServeHTTP(seen, r)
		if r.Method == "POST" && r.URL.Query().Has("mount") && seen.status == http.StatusCreated {
			s.mounts.Add(1)
		}
	}))
	t.Cleanup(front.Close)
	s.addr = front.Listener.Addr().String()
	edge = embedded.NewEdge(embedded.EdgeOptions{Registry: kind.open(t, front.URL+"/auth", bundle), Auth: srv})
	return s
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// leaves is how a new installation signs: leaves of a CA in the bundle.
func leaves(t *testing.T) (auth.TokenConfig, string) {
	t.Helper()
	cert, key, err := certs.SigningCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := auth.LoadKeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return auth.TokenConfig{SigningCA: ca}, cert
}

// pair makes a self-signed certificate that is valid around now, or was.
func pair(t *testing.T, key any, expired bool) (p *auth.KeyPair, bundle string) {
	t.Helper()
	end := time.Now().Add(time.Hour)
	if expired {
		end = time.Now().Add(-time.Hour)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "domain"}, NotBefore: end.Add(-24 * time.Hour), NotAfter: end}
	p = &auth.KeyPair{}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		p.Key = key
	case *ecdsa.PrivateKey:
		p.Key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.Key.Public(), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	if p.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	bundle = filepath.Join(t.TempDir(), "bundle.crt")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, bundle
}

// keyWithZero finds a P-256 key with a coordinate that begins with a zero octet,
// as one in 128 does: RFC 7638 and registry 3.1 disagree about its id.
func keyWithZero(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	for {
		k := ecKey(t)
		point, err := k.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			t.Fatal(err)
		}
		if point[1] == 0 || point[33] == 0 {
			return k
		}
	}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
