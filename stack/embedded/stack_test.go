package embedded

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"regctl/certs"
)

const (
	testService = "regctl test"
	testIssuer  = "regctl test issuer"
)

var alice = &authn.Basic{Username: "alice", Password: "secret"}

// issuer is a token server of a few lines: alice may do everything except in
// repositories below denied/.
type issuer struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	leaf []byte
}

// newIssuer returns an issuer with a leaf of the CA, and the CA's certificate file.
func newIssuer(t testing.TB, dir string) (*issuer, string) {
	certFile, keyFile, err := certs.SigningCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
	}, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key, leaf}, certFile
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != alice.Username || password != alice.Password {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": i.token(r.URL.Query()["scope"]...), "expires_in": 300})
}

func (i *issuer) token(scopes ...string) string {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	granted := []access{}
	for _, scope := range slices.Concat(scopes) {
		for one := range strings.FieldsSeq(scope) {
			parts := strings.SplitN(one, ":", 3)
			if len(parts) == 3 && !strings.HasPrefix(parts[1], "denied/") {
				granted = append(granted, access{parts[0], parts[1], strings.Split(parts[2], ",")})
			}
		}
	}
	now := time.Now().Unix()
	signed := i.encode(map[string]any{"alg": "ES256", "typ": "JWT", "x5c": []string{base64.StdEncoding.EncodeToString(i.leaf)}}) +
		"." + i.encode(map[string]any{"iss": testIssuer, "sub": alice.Username, "aud": testService, "nbf": now, "iat": now, "exp": now + 300, "access": granted})
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		i.t.Error(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (i *issuer) encode(part any) string {
	text, err := json.Marshal(part)
	if err != nil {
		i.t.Error(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// stack is a running one.
type stack struct {
	url    string
	addr   string // 127.0.0.1:port
	dir    string
	issuer *issuer
	cancel context.CancelFunc
	done   chan error // Run's result
}

// testOptions serve on a free port of 127.0.0.1.
func testOptions(t testing.TB) (Options, *issuer) {
	dir := t.TempDir()
	issuer, bundle := newIssuer(t, dir)
	return Options{
		Dir: dir, Listen: "127.0.0.1:0",
		Auth: issuer, SigningBundle: bundle, Issuer: testIssuer, Service: testService,
	}, issuer
}

// start runs a stack until the test ends, and waits until it is ready.
func start(t testing.TB, change func(*Options)) *stack {
	t.Helper()
	opts, issuer := testOptions(t)
	if change != nil {
		change(&opts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan string, 1)
	opts.Ready = func(url string) { ready <- url }
	s := &stack{dir: opts.Dir, issuer: issuer, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- Run(ctx, opts); close(s.done) }()
	select {
	case s.url = <-ready:
	case err := <-s.done:
		t.Fatalf("Run ended before it was ready: %v", err)
	}
	s.addr = "127.0.0.1" + s.url[strings.LastIndexByte(s.url, ':'):]
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}
