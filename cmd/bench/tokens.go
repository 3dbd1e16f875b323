package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	bareArg = "-bare"
	clients = 16
	rounds  = 5
	perRun  = 3 * time.Second
	users   = 100
	scope   = "service=Docker+registry&scope=repository:test:pull,push"
)

// measureTokens compares the auth server, with the article's users and rules,
// with a handler that does nothing but sign (ES256). Rounds alternate; medians
// are compared.
func measureTokens(regctl, dir string) ([]row, error) {
	authURL, stopAuth, err := startAuth(regctl, dir)
	if err != nil {
		return nil, err
	}
	defer stopAuth()
	bareURL, stopBare, err := startBare()
	if err != nil {
		return nil, err
	}
	defer stopBare()
	asUser := func(r *http.Request, n int) { r.SetBasicAuth(fmt.Sprintf("user%d", n%users), "password") }
	if _, err := load(authURL, asUser, clients, perRun); err != nil { // every credential is hashed once
		return nil, err
	}
	var auth, bare []float64
	for range rounds {
		a, err := load(authURL, asUser, clients, perRun)
		if err != nil {
			return nil, err
		}
		b, err := load(bareURL, func(*http.Request, int) {}, clients, perRun)
		if err != nil {
			return nil, err
		}
		auth, bare = append(auth, a), append(bare, b)
	}
	slices.Sort(auth)
	slices.Sort(bare)
	a, b := auth[rounds/2], bare[rounds/2]
	return []row{{
		"token requests, article's config (bcrypt, labels, 2 rules), against a handler that only signs ES256",
		"≥ 0.6 ×", fmt.Sprintf("**%.2f ×** (%.0f/s of %.0f/s)", a/b, a, b),
	}}, nil
}

func startAuth(regctl, dir string) (url string, stop func(), err error) {
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	if err := writePair(dir); err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "auth_config.yml")
	if err := os.WriteFile(config, []byte(articleConfig(addr, dir)), 0o600); err != nil {
		return "", nil, err
	}
	_, _, stop, err = start(regctl, "auth", "serve", config)
	if err != nil {
		return "", nil, err
	}
	if err := waitFor("http://" + addr + "/"); err != nil {
		stop()
		return "", nil, err
	}
	return "http://" + addr + "/auth?" + scope, stop, nil
}

// articleConfig is the article's setup with its users and rules in the file.
func articleConfig(addr, dir string) string {
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), 5) // htpasswd's default cost, as in the article
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server: {addr: %q}\n", addr)
	fmt.Fprintf(&b, "token: {issuer: Acme auth server, expiration: 900, certificate: %[1]s/domain.crt, key: %[1]s/domain.key}\n", dir)
	fmt.Fprintf(&b, "audit: {file: %s/audit.log}\nusers:\n", dir)
	for i := range users {
		fmt.Fprintf(&b, "  user%d: {password: %q, labels: {full-access: [test, 'socke*'], read-only-access: ['prod/*']}}\n", i, hash)
	}
	b.WriteString("acl:\n" +
		"  - {match: {name: '${labels:full-access}'}, actions: ['*'], comment: full access}\n" +
		"  - {match: {name: '${labels:read-only-access}'}, actions: [pull], comment: pull access}\n")
	return b.String()
}

func writePair(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"domain.crt": {Type: "CERTIFICATE", Bytes: cert},
		"domain.key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func startBare() (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	_, out, stop, err := start(self, bareArg)
	if err != nil {
		return "", nil, err
	}
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		stop()
		return "", nil, fmt.Errorf("starting the reference: %w", err)
	}
	return "http://" + addr + "/auth?" + scope, stop, nil
}

// serveBare is the reference: net/http and one ES256 signature over claims of
// the usual size, and nothing else.
func serveBare() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	addr, err := freeAddr()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding
	head := b64.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256","kid":"ABCD:EFGH:ABCD:EFGH:ABCD:EFGH:ABCD:EFGH:ABCD:EFGH:ABCD:EFGH"}`))
	claims := []byte(`{"iss":"Acme auth server","sub":"user1","aud":"Docker registry","exp":1795470000,"nbf":1795469090,"iat":1795469100,` +
		`"jti":"BL7M2OXIAMJI3C42OUCWWCEO4X","access":[{"type":"repository","name":"test","actions":["pull","push"]}]}`)
	http.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		input := head + "." + b64.EncodeToString(claims)
		sum := sha256.Sum256([]byte(input))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"token": input + "." + b64.EncodeToString(sig)})
	})
	fmt.Println(addr)
	if err := http.ListenAndServe(addr, nil); err != nil {
		panic(err)
	}
}
