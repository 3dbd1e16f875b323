package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// claims of a registry token, in docker_auth's order. The audience is a plain
// string: registry 2.x rejects a list.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Access    []access `json:"access"`
}

// access is what a token grants on one resource. Registries that restrict
// classes of repositories (plugins) read Class; others ignore it.
type access struct {
	Type    string   `json:"type"`
	Class   string   `json:"class,omitempty"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// signer turns claims into a token, a JWS in compact form (RFC 7515).
type signer interface {
	sign(c *claims, now time.Time) (string, error)
	// notAfter is when this signer stops being able to sign.
	notAfter() time.Time
}

func newSigner(cfg *TokenConfig, now time.Time) (signer, error) {
	if cfg.SigningCA != nil {
		return newLeafSigner(cfg.SigningCA, cfg.Expiration, now)
	}
	return newPairSigner(cfg.Pair, cfg.DisableLegacyKeyID, cfg.X5C)
}

// pairSigner signs with a certificate and key from files, as docker_auth does.
type pairSigner struct {
	key  crypto.Signer
	alg  algorithm
	cert *x509.Certificate
	// plain names the key by kid only. withX5C carries the certificate as well,
	// which every registry version looks at first; but a registry rejects the
	// token once the certificate has expired, while it goes on accepting kid.
	plain, withX5C string
}

func newPairSigner(pair *KeyPair, thumbprintID, x5c bool) (*pairSigner, error) {
	alg, err := algorithmOf(pair.Key.Public())
	if err != nil {
		return nil, err
	}
	kid := legacyKeyID(pair.Cert)
	if thumbprintID {
		kid = thumbprint(pair.Key.Public())
	}
	s := &pairSigner{key: pair.Key, alg: alg, cert: pair.Cert, plain: header(alg, kid, nil)}
	if x5c {
		s.withX5C = header(alg, kid, pair.Cert)
	}
	return s, nil
}

func (s *pairSigner) sign(c *claims, now time.Time) (string, error) {
	head := s.plain
	if s.withX5C != "" && !now.Before(s.cert.NotBefore) && now.Before(s.cert.NotAfter) {
		head = s.withX5C
	}
	return signJWS(head, s.alg, s.key, c)
}

// notAfter is never: docker_auth installations go on with an expired
// certificate, which registries accept by kid.
func (s *pairSigner) notAfter() time.Time { return time.Time{} }

// leafLifetime is how long a minted leaf signs, at most. Its key exists in the
// memory of one process only.
const leafLifetime = 7 * 24 * time.Hour

// leafSigner signs with a short-lived leaf certificate that it mints itself
// from a CA in the registry's bundle. Leaves rotate without touching the
// registry, which verifies the chain in x5c.
type leafSigner struct {
	ca       *KeyPair
	lifetime time.Duration // of tokens; a leaf outlives each token it signs

	mu   sync.RWMutex
	leaf *pairSigner
}

func newLeafSigner(ca *KeyPair, tokenLifetime time.Duration, now time.Time) (*leafSigner, error) {
	if !ca.Cert.IsCA {
		return nil, fmt.Errorf("token.signing_ca: %s is not a CA certificate", ca.Cert.Subject)
	}
	s := &leafSigner{ca: ca, lifetime: tokenLifetime}
	_, err := s.current(now)
	return s, err
}

func (s *leafSigner) sign(c *claims, now time.Time) (string, error) {
	leaf, err := s.current(now)
	if err != nil {
		return "", err
	}
	return signJWS(leaf.withX5C, leaf.alg, leaf.key, c)
}

func (s *leafSigner) notAfter() time.Time { return s.ca.Cert.NotAfter }

// current returns a leaf that outlives a token made now, minting one when half
// of the old one's life is gone.
func (s *leafSigner) current(now time.Time) (*pairSigner, error) {
	s.mu.RLock()
	leaf := s.leaf
	s.mu.RUnlock()
	if s.fresh(leaf, now) {
		return leaf, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh(s.leaf, now) {
		return s.leaf, nil
	}
	leaf, err := s.mint(now)
	if err != nil {
		return nil, fmt.Errorf("minting a signing certificate: %w", err)
	}
	s.leaf = leaf
	return leaf, nil
}

func (s *leafSigner) fresh(leaf *pairSigner, now time.Time) bool {
	if leaf == nil || now.Before(leaf.cert.NotBefore) {
		return false
	}
	left := leaf.cert.NotAfter.Sub(now)
	return left > s.lifetime && (left > s.leafLife()/2 || leaf.cert.NotAfter.Equal(s.ca.Cert.NotAfter))
}

func (s *leafSigner) leafLife() time.Duration { return max(leafLifetime, 4*s.lifetime) }

func (s *leafSigner) mint(now time.Time) (*pairSigner, error) {
	end := now.Add(s.leafLife())
	if end.After(s.ca.Cert.NotAfter) {
		end = s.ca.Cert.NotAfter
	}
	if now.Add(s.lifetime).After(end) {
		return nil, fmt.Errorf("the CA %s ends %s, before a token made now would", s.ca.Cert.Subject, s.ca.Cert.NotAfter.Format(time.RFC3339))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      s.ca.Cert.Subject,
		// A registry on another host may have a clock that is a little behind.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  end,
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}, s.ca.Cert, key.Public(), s.ca.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return newPairSigner(&KeyPair{Cert: cert, Key: key}, true, true)
}
