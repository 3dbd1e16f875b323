package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"regctl/provision/host"
)

// minRSA is what OpenSSL asks of a server's key at its security level 2, which
// is Debian's and Ubuntu's; nginx does not start with less.
const minRSA = 2048

// Pair is a private key and the chain of its certificate. In a file they are
// one (see [Pair.Encode]), so that they can only change together. It prints
// without its key.
type Pair struct {
	// Chain begins with the leaf; each certificate was issued by the next.
	Chain []*x509.Certificate

	key    host.Secret // PEM, PKCS #8
	public crypto.PublicKey
}

func newPair(key crypto.Signer, chain []*x509.Certificate) (*Pair, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	return &Pair{Chain: chain, key: host.NewSecret(string(text)), public: key.Public()}, nil
}

// ParsePair reads a file that holds one private key (PKCS #8, PKCS #1 or SEC 1,
// not encrypted) and at least one certificate, all in PEM. It does not compare
// them; see [Pair.Covers].
func ParsePair(text []byte) (*Pair, error) {
	key, err := parseKey(text)
	if err != nil {
		return nil, err
	}
	chain, err := parseChain(text)
	if err != nil {
		return nil, err
	}
	return newPair(key, chain)
}

// Encode is the file: the key as PKCS #8, then the chain. It is a secret.
func (p *Pair) Encode() []byte {
	text := []byte(p.key.Reveal())
	for _, cert := range p.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: cert.Raw})...)
	}
	return text
}

// Leaf is the certificate that the server shows as its own.
func (p *Pair) Leaf() *x509.Certificate { return p.Chain[0] }

// Covers says why a TLS server cannot use the pair for names (host names or IP
// addresses) at this time; all reasons at once. It cannot know which roots the
// clients trust, and so finds a missing intermediate where one certificate of
// the chain was not issued by the next, and where a leaf stands alone although
// it says where its issuer's certificate is to be had.
func (p *Pair) Covers(names []string, now time.Time) error {
	first, err := p.matches()
	if first > 0 {
		return err // the rest would be about the wrong certificate
	}
	problems := []error{err, p.linked(), p.usable()}
	for _, cert := range p.Chain {
		problems = append(problems, inTime(cert, now))
	}
	for _, name := range names {
		problems = append(problems, p.named(name))
	}
	return errors.Join(problems...)
}

// matches compares the key with the leaf. It returns where in the chain the
// key's certificate is, -1 if nowhere.
func (p *Pair) matches() (int, error) {
	belongs := func(cert *x509.Certificate) bool {
		key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return ok && key.Equal(p.public)
	}
	switch i := slices.IndexFunc(p.Chain, belongs); i {
	case 0:
		return i, nil
	case -1:
		return i, fmt.Errorf("the key does not belong to the certificate of %s", title(p.Leaf()))
	default:
		return i, fmt.Errorf("the chain is out of order: the certificate of the key, %s, must come first", title(p.Chain[i]))
	}
}

// linked checks that every certificate was issued by the next.
func (p *Pair) linked() error {
	last := len(p.Chain) - 1
	for i, cert := range p.Chain[:last] {
		err := issued(p.Chain[i+1], cert)
		if err == nil {
			continue
		}
		others := slices.Delete(slices.Clone(p.Chain), i, i+2)
		at := slices.IndexFunc(others, func(ca *x509.Certificate) bool { return issued(ca, cert) == nil })
		switch {
		case at >= 0:
			return fmt.Errorf("the chain is out of order: %s must follow %s, which it issued", title(others[at]), title(cert))
		case selfIssued(cert):
			return fmt.Errorf("the chain ends with %s, which is its own issuer: remove %s after it", title(cert), title(p.Chain[i+1]))
		case bytes.Equal(cert.RawIssuer, p.Chain[i+1].RawSubject):
			return fmt.Errorf("%s was not issued by the %s after it: %w", title(cert), title(p.Chain[i+1]), err)
		}
		return missingIssuer(cert)
	}
	// Public roots sign no leaves, so where the issuer's certificate is
	// published (RFC 5280, 4.2.2.1) it is an intermediate.
	if leaf := p.Leaf(); last == 0 && !selfIssued(leaf) && len(leaf.IssuingCertificateURL) > 0 {
		return missingIssuer(leaf)
	}
	return nil
}

// issued says why ca is not the issuer of cert.
func issued(ca, cert *x509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, ca.RawSubject) {
		return fmt.Errorf("it names %s as its issuer", cert.Issuer)
	}
	return cert.CheckSignatureFrom(ca)
}

func selfIssued(cert *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, cert.RawSubject) }

func missingIssuer(cert *x509.Certificate) error {
	text := fmt.Sprintf("the chain lacks the certificate of %s, which issued %s", cert.Issuer, title(cert))
	if urls := cert.IssuingCertificateURL; len(urls) > 0 {
		text += fmt.Sprintf("; it is at %s", urls[0])
	}
	return errors.New(text)
}

// usable refuses a leaf that servers or clients refuse for what it is.
func (p *Pair) usable() error {
	leaf := p.Leaf()
	if key, ok := p.public.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
		return fmt.Errorf("the RSA key has %d bits; nginx wants %d or more", key.N.BitLen(), minRSA)
	}
	for _, usage := range leaf.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return nil
		}
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("the certificate of %s is not for servers (extended key usage)", title(leaf))
	}
	return nil
}

func inTime(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s; this machine's clock says %s",
			title(cert), cert.NotBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("the certificate of %s expired on %s", title(cert), cert.NotAfter.Format(time.RFC3339))
	}
	return nil
}

func (p *Pair) named(name string) error {
	leaf := p.Leaf()
	if leaf.VerifyHostname(name) == nil {
		return nil
	}
	if has := leafNames(leaf); len(has) > 0 {
		return fmt.Errorf("the certificate is not for %s: its names are %s", name, strings.Join(has, ", "))
	}
	return fmt.Errorf("the certificate is not for %s: it has no subject alternative names, and clients ignore the common name", name)
}

// leafNames are the DNS names and IP addresses that a certificate is for.
func leafNames(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// title names a certificate in messages.
func title(cert *x509.Certificate) string {
	if name := cert.Subject.String(); name != "" {
		return fmt.Sprintf("%q", name)
	}
	if names := leafNames(cert); len(names) > 0 { // Let's Encrypt leaves the subject out
		return fmt.Sprintf("%q", names[0])
	}
	return fmt.Sprintf("serial %x", cert.SerialNumber)
}
