package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bcryptHash is one of the password "secret".
const bcryptHash = "$2a$04$Z4e3j5ovj1OQTIkCDOQ6w.b07hE9sA94Bp.fmUeA2OqZTKlkEPLa."

// configFiles is a directory with key pairs, to which texts refer as DIR.
type configFiles struct{ dir string }

func newConfigFiles(t testing.TB) configFiles {
	t.Helper()
	f := configFiles{t.TempDir()}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "other": elliptic.P384(), "ca": elliptic.P256(), "p224": elliptic.P224()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f.writePair(t, name, key, name == "ca")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f.writePair(t, "ed25519", key, false)
	return f
}

func (f configFiles) writePair(t testing.TB, name string, key crypto.Signer, ca bool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ext, block := range map[string]*pem.Block{"pem": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(f.dir, name+"."+ext), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// load loads text; in errors and warnings the file is called FILE.
func (f configFiles) load(t testing.TB, text string, opts LoadOptions) (*Config, error) {
	t.Helper()
	text = strings.NewReplacer("DIR", f.dir, "BCRYPT", bcryptHash).Replace(text)
	path := filepath.Join(t.TempDir(), "auth.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(path, "FILE", f.dir, "DIR")
	cfg, err := LoadConfig(path, opts)
	if err != nil {
		return nil, errors.New(plain.Replace(err.Error()))
	}
	for i, w := range cfg.Warnings {
		cfg.Warnings[i] = plain.Replace(w)
	}
	for i, file := range cfg.Files {
		cfg.Files[i] = plain.Replace(file)
	}
	return cfg, nil
}

// Parts of a configuration for tests that look at the other parts. Each is one
// line, so that a text which follows all four begins at line 5.
const (
	partServer = "server: {addr: ':5001'}\n"
	partToken  = "token: {issuer: i, expiration: 900, certificate: DIR/p256.pem, key: DIR/p256.key}\n"
	partUsers  = "users: {}\n"
	partACL    = "acl: []\n"
)

func pointer[T any](v T) *T { return &v }
