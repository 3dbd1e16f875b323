package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// noon is when the tests of certificates take place.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// party is somebody with a key and a certificate.
type party struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// issue makes a party whose certificate is signed by issuer, or by itself.
func issue(t testing.TB, issuer *party, name string, change func(*x509.Certificate)) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, issuer, name, change)
}

func issueFor(t testing.TB, key crypto.Signer, issuer *party, name string, change func(*x509.Certificate)) *party {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(0, 1, 0),
		BasicConstraintsValid: true,
	}
	change(template)
	p := &party{key: key}
	if issuer == nil {
		issuer = &party{key, template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

func asCA(c *x509.Certificate)     { c.IsCA = true }
func asServer(c *x509.Certificate) { c.DNSNames = []string{"reg.test", "*.example.test"} }

// pki is a root, two intermediates below each other, and a server.
type pki struct{ root, upper, lower, server *party }

func newPKI(t testing.TB) pki {
	t.Helper()
	root := issue(t, nil, "Root", asCA)
	upper := issue(t, root, "Upper", asCA)
	lower := issue(t, upper, "Lower", asCA)
	return pki{root, upper, lower, issue(t, lower, "server", asServer)}
}

func certPEM(parties ...*party) (text []byte) {
	for _, p := range parties {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: p.cert.Raw})...)
	}
	return text
}

func keyPEM(t testing.TB, p *party) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
}

func TestPairCovers(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	otherRoot, otherLower := issue(t, nil, "Root", asCA), issue(t, p.upper, "Lower", asCA)
	with := func(issuer *party, change func(*x509.Certificate)) *party {
		return issue(t, issuer, "server", func(c *x509.Certificate) { asServer(c); change(c) })
	}
	published := func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.test/lower.der"} }
	late := func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) }
	early := func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) }
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := p.server
	lateServer, earlyLower := with(p.lower, late), issue(t, p.upper, "Lower", func(c *x509.Certificate) { asCA(c); early(c) })
	clientOnly := with(p.lower, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	anonymous := issue(t, p.root, "", func(c *x509.Certificate) { asServer(c); early(c); c.Subject = pkix.Name{} })
	nameless := issue(t, p.root, "reg.test", func(*x509.Certificate) {})
	numbered := issue(t, p.root, "n", func(c *x509.Certificate) { _, c.IPAddresses = splitNames([]string{"192.0.2.7", "2001:db8::1"}) })
	weak, ed := issueFor(t, weakKey, p.root, "server", asServer), issueFor(t, edKey, p.root, "server", asServer)
	lonely, rooted := with(p.lower, published), with(p.root, published)
	self := issue(t, nil, "self", asServer)

	for name, c := range map[string]struct {
		key   *party
		chain []*party
		names string
		want  string // "" if it is fine; else its lines
	}{
		"whole":               {server, []*party{server, p.lower, p.upper}, "reg.test", ""},
		"with its root":       {server, []*party{server, p.lower, p.upper, p.root}, "reg.test a.example.test REG.test", ""},
		"signed by a root":    {nameless, []*party{nameless}, "", ""},
		"root in the file":    {rooted, []*party{rooted, p.root}, "reg.test", ""},
		"its own issuer":      {self, []*party{self}, "reg.test", ""},
		"addresses":           {numbered, []*party{numbered}, "192.0.2.7 2001:db8::1", ""},
		"Ed25519":             {ed, []*party{ed}, "reg.test", ""},
		"another key":         {p.lower, []*party{server, p.upper}, "reg.test", "the key does not belong to the certificate of \"CN=server\"\nthe chain lacks the certificate of CN=Lower, which issued \"CN=server\""},
		"leaf not first":      {server, []*party{p.lower, server}, "reg.test", `the chain is out of order: the certificate of the key, "CN=server", must come first`},
		"intermediates mixed": {server, []*party{server, p.upper, p.lower}, "reg.test", `the chain is out of order: "CN=Lower" must follow "CN=server", which it issued`},
		"intermediate twice":  {server, []*party{server, p.lower, p.lower}, "reg.test", `the chain lacks the certificate of CN=Upper, which issued "CN=Lower"`},
		"gap":                 {server, []*party{server, p.upper, p.root}, "reg.test", `the chain lacks the certificate of CN=Lower, which issued "CN=server"`},
		"leaf alone":          {lonely, []*party{lonely}, "reg.test", `the chain lacks the certificate of CN=Lower, which issued "CN=server"; it is at http://ca.test/lower.der`},
		"after the root":      {self, []*party{self, p.root}, "reg.test", `the chain ends with "CN=self", which is its own issuer: remove "CN=Root" after it`},
		"namesake":            {server, []*party{server, otherLower}, "reg.test", `"CN=server" was not issued by the "CN=Lower" after it: x509: ECDSA verification failure`},
		"namesake root":       {rooted, []*party{rooted, otherRoot}, "reg.test", `"CN=server" was not issued by the "CN=Root" after it: x509: ECDSA verification failure`},
		"not yet valid":       {lateServer, []*party{lateServer, p.lower}, "reg.test", `the certificate of "CN=server" is not valid before 2026-03-01T13:00:00Z; this machine's clock says 2026-03-01T12:00:00Z`},
		"expired":             {anonymous, []*party{anonymous}, "reg.test", `the certificate of "reg.test" expired on 2026-03-01T11:00:00Z`},
		"chain expired":       {p.lower, []*party{earlyLower}, "", "the key does not belong to the certificate of \"CN=Lower\"\nthe certificate of \"CN=Lower\" expired on 2026-03-01T11:00:00Z"},
		"no such name":        {server, []*party{server}, "reg.test auth.test b.a.example.test", "the certificate is not for auth.test: its names are reg.test, *.example.test\nthe certificate is not for b.a.example.test: its names are reg.test, *.example.test"},
		"common name alone":   {nameless, []*party{nameless}, "reg.test", "the certificate is not for reg.test: it has no subject alternative names, and clients ignore the common name"},
		"no such address":     {numbered, []*party{numbered}, "192.0.2.8", "the certificate is not for 192.0.2.8: its names are 192.0.2.7, 2001:db8::1"},
		"weak":                {weak, []*party{weak}, "reg.test", "the RSA key has 1024 bits; nginx wants 2048 or more"},
		"for clients":         {clientOnly, []*party{clientOnly}, "reg.test", `the certificate of "CN=server" is not for servers (extended key usage)`},
	} {
		pair, err := ParsePair(append(keyPEM(t, c.key), certPEM(c.chain...)...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		if err := pair.Covers(strings.Fields(c.names), noon); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestParsePair(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	chain := certPEM(p.server, p.lower)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaServer := issueFor(t, rsaKey, p.root, "server", asServer)
	sec1, err := x509.MarshalECPrivateKey(p.server.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"key first":  slices.Concat(keyPEM(t, p.server), chain),
		"key last":   slices.Concat([]byte("a comment\n"), chain, keyPEM(t, p.server)),
		"SEC 1":      slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), chain),
		"PKCS #1":    slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), certPEM(rsaServer)),
		"with group": slices.Concat(keyPEM(t, p.server), chain, pem.EncodeToMemory(&pem.Block{Type: dhBlock})),
	} {
		pair, err := ParsePair(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := pair.Covers([]string{"reg.test"}, noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := ParsePair(pair.Encode())
		if err != nil || string(again.Encode()) != string(pair.Encode()) || !strings.HasPrefix(string(pair.Encode()), "-----BEGIN PRIVATE KEY-----\n") {
			t.Errorf("%s: encoded and parsed again: %v", name, err)
		}
	}
}

func TestParsePairRefuses(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	key, chain := keyPEM(t, p.server), certPEM(p.server)
	block := func(blockType string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: []byte{0x30, 0}})
	}
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{0}})
	for want, text := range map[string][]byte{
		"holds no PEM block (a line -----BEGIN …-----)":                     p.server.cert.Raw,
		"1 of 2 PEM blocks are damaged or cut short":                        slices.Concat(key, chain[:len(chain)-40]),
		"1 of 3 PEM blocks are damaged or cut short":                        slices.Concat(key, chain[:200], []byte("\n"), chain),
		"holds 0 private keys instead of one":                               chain,
		"holds 2 private keys instead of one":                               slices.Concat(key, key, chain),
		"holds no certificate":                                              key,
		"holds 17 certificates, more than any chain has (16)":               slices.Concat(key, slices.Repeat(chain, 17)),
		`holds a block "CERTIFICATE REQUEST" where a private key is wanted`: slices.Concat(key, block("CERTIFICATE REQUEST")),
		`a key of type "DSA PRIVATE KEY" is none that TLS can use`:          slices.Concat(block("DSA PRIVATE KEY"), chain),
		"the key is encrypted, and a server has nobody to ask for the passphrase: decrypt it with openssl pkey -in KEY -out NEW": slices.Concat(block("ENCRYPTED PRIVATE KEY"), chain),
		"the key is encrypted, and a server":      slices.Concat(legacy, chain),
		"parsing the key: asn1: ":                 slices.Concat(block("PRIVATE KEY"), chain),
		"certificate 2: x509: malformed":          slices.Concat(key, chain, block("CERTIFICATE")),
		"a key of type *ecdh.PrivateKey cannot s": slices.Concat(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: x25519(t)}), chain),
	} {
		if _, err := ParsePair(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// x25519 is a key that can agree on secrets and sign nothing: RFC 8410, 10.3.
func x25519(t *testing.T) []byte {
	t.Helper()
	return append([]byte{0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20}, make([]byte, 32)...)
}

func TestPairPrintsWithoutItsKey(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	pair, err := ParsePair(append(keyPEM(t, p.server), certPEM(p.server)...))
	if err != nil {
		t.Fatal(err)
	}
	secret := string(keyPEM(t, p.server))[40:80]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, pair); strings.Contains(text, secret) {
			t.Errorf("%s prints the key", verb)
		}
	}
}

func FuzzParsePair(f *testing.F) {
	p := newPKI(f)
	f.Add(append(keyPEM(f, p.server), certPEM(p.server, p.lower)...))
	f.Add(certPEM(p.server))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		pair, err := ParsePair(text)
		if err != nil {
			return
		}
		_ = pair.Covers([]string{"reg.test", "192.0.2.7"}, noon) // must not panic
		again, err := ParsePair(pair.Encode())
		if err != nil || string(again.Encode()) != string(pair.Encode()) {
			t.Errorf("encoded and parsed again: %v", err)
		}
	})
}
