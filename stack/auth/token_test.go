package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// The keys and ids are docker_auth's and the registries', run against them.
var keyIDs = []struct {
	name, pem, legacy, thumbprint string
}{
	{"RSA-2048", `
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqxA4ojlvC3Yl7w9+u00n
JOmGcXmO5L+P49VQzP7HYlFkPpr9yT7LRGaFn0xoMfUlTzkz5h013tAGv81EclrW
OABEfH0YOFNJiW+qrwHGCFXRYHUFYh/G2Y/k4eQJKEqs6OdSH2EB6o6TqLZB/17V
e+H4J+jgUAGwDZQBD8ffTrl+vworll2uFPOUd2wYONfG5V9t3B1ZGiux2ArfjS9y
rOttWxdBRMnHHcsmPBi9Zo34O/M4eg3AUsrbz56YhYnRv6NgDFPmQMq5QwjDD6oJ
5Wq5IpyjmBP3kmNnh/0QrdGvsPd8v0JpAVN1oXQQDTy/0Mqc7pRXEHhEwwZmFgCc
9wIDAQAB`,
		"O3KC:Y2C2:PMAI:7M3U:JSEW:JETA:Q64H:5JPW:TVSC:TRJV:5UDL:ZQ4Q", "0Uv8oQ3piwuKZOS23PG8UxGdQ3DZUiLuWd7LQm4m1GI"},
	{"P-256", `
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7C5rmkD/HZSv6mImi/dz7RUT1NMo
l5pQYh2XMia/6CUyFjZRR1gJXFyBAbIkLn+3IKhtvhw7ENpSLb4IGy7tGg==`,
		"WUXW:IMTB:ODTP:2TG6:2TAS:M4XY:NICE:ZPB7:KRO4:OAHM:5SAC:YESZ", "TG-woZfNubKQutwl1kigYT0c8DaiwIyTXBcFLC5zDWM"},
	{"P-256 with a leading zero octet", `
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAP3SuynVt3fGne9BxhjFM+23T3Pt
DwDTZYp9+g5V+bK7UWqiv5DS2Zpfb26RtsFlTj9MB874d3250HcibHy8TQ==`,
		"QOQP:ROTF:KCRN:KSUZ:SHBW:PHFQ:EZXV:B6F7:S5FE:LPYC:TKBF:LIVH", "enAaCRm1K6VFiCi6IHauUIGvrFSe04qajjWWQcZ6bfo"},
}

func TestKeyIDs(t *testing.T) {
	for _, k := range keyIDs {
		block, _ := pem.Decode([]byte("-----BEGIN PUBLIC KEY-----" + k.pem + "\n-----END PUBLIC KEY-----\n"))
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := legacyKeyID(&x509.Certificate{RawSubjectPublicKeyInfo: block.Bytes}); got != k.legacy {
			t.Errorf("%s: legacy id %s, want %s", k.name, got, k.legacy)
		}
		if got := thumbprint(pub); got != k.thumbprint {
			t.Errorf("%s: thumbprint %s, want %s", k.name, got, k.thumbprint)
		}
	}
}

// testPair makes a self-signed certificate. Curve nil means RSA.
func testPair(t testing.TB, curve elliptic.Curve, notBefore, notAfter time.Time, isCA bool) *KeyPair {
	t.Helper()
	pair := &KeyPair{}
	var err error
	if curve == nil {
		pair.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		pair.Key, err = ecdsa.GenerateKey(curve, rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test signing"},
		NotBefore: notBefore, NotAfter: notAfter, IsCA: isCA, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair.Key.Public(), pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	if pair.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return pair
}

// verified checks a token's signature and returns its header and claims.
func verified(t *testing.T, token string, cert *x509.Certificate) (head map[string]any, c claims) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts", len(parts))
	}
	decode := func(part string, into any) {
		raw, err := b64.DecodeString(part)
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	decode(parts[0], &head)
	decode(parts[1], &c)
	sig, err := b64.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	alg, err := algorithmOf(cert.PublicKey)
	if err != nil || head["alg"] != alg.name {
		t.Fatalf("alg %v for %T (%v)", head["alg"], cert.PublicKey, err)
	}
	h := alg.hash.New()
	h.Write([]byte(parts[0] + "." + parts[1]))
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if err := rsa.VerifyPKCS1v15(pub, alg.hash, h.Sum(nil), sig); err != nil {
			t.Fatal(err)
		}
	case *ecdsa.PublicKey:
		if len(sig) != 2*alg.size {
			t.Fatalf("signature of %d octets, want %d", len(sig), 2*alg.size)
		}
		r, s := new(big.Int).SetBytes(sig[:alg.size]), new(big.Int).SetBytes(sig[alg.size:])
		if !ecdsa.Verify(pub, h.Sum(nil), r, s) {
			t.Fatal("signature does not verify")
		}
	}
	return head, c
}

func TestPairSigner(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, curve := range []elliptic.Curve{nil, elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		pair := testPair(t, curve, now.Add(-time.Hour), now.Add(time.Hour), false)
		s, err := newPairSigner(pair, false, true)
		if err != nil {
			t.Fatal(err)
		}
		for at, wantX5C := range map[time.Time]bool{
			now: true, now.Add(-2 * time.Hour): false, now.Add(2 * time.Hour): false,
		} {
			token, err := s.sign(&claims{Issuer: "i", Access: []access{}}, at)
			if err != nil {
				t.Fatal(err)
			}
			head, c := verified(t, token, pair.Cert)
			if _, has := head["x5c"]; has != wantX5C {
				t.Errorf("%v: x5c %v, want %v", at, has, wantX5C)
			}
			if head["kid"] != legacyKeyID(pair.Cert) || head["typ"] != "JWT" || c.Issuer != "i" {
				t.Errorf("header %v, claims %+v", head, c)
			}
		}
	}
}

func TestLeafSigner(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ca := testPair(t, elliptic.P256(), now.Add(-time.Hour), now.Add(20*24*time.Hour), true)
	s, err := newLeafSigner(ca, 15*time.Minute, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	used := map[[32]byte]bool{}
	// Every token must verify for as long as it lives, whatever the moment.
	for at := now; at.Before(ca.Cert.NotAfter.Add(-15 * time.Minute)); at = at.Add(7 * time.Hour) {
		leaf, err := s.current(at)
		if err != nil {
			t.Fatal(at, err)
		}
		used[sha256.Sum256(leaf.cert.Raw)] = true
		token, err := s.sign(&claims{}, at)
		if err != nil {
			t.Fatal(at, err)
		}
		head, _ := verified(t, token, leaf.cert)
		if x5c := head["x5c"].([]any); len(x5c) != 1 {
			t.Fatalf("x5c of %d certificates", len(x5c))
		}
		for _, when := range []time.Time{at, at.Add(15 * time.Minute)} {
			_, err := leaf.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: when, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			if err != nil {
				t.Fatalf("token made %s, checked %s: %v", at, when, err)
			}
		}
	}
	if len(used) < 3 || len(used) > 7 {
		t.Errorf("%d leaves in 20 days", len(used))
	}
	if _, err := s.sign(&claims{}, ca.Cert.NotAfter); err == nil {
		t.Error("signed with an expired CA")
	}
	if _, err := newLeafSigner(testPair(t, elliptic.P256(), now, now.Add(time.Hour), false), time.Minute, now); err == nil {
		t.Error("took a certificate that is no CA as signing CA")
	}
}
