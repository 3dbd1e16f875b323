package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const leafLife = 30 * 24 * time.Hour

// LocalCA is a CA of this installation alone, for TLS without a public one:
// clients are told to trust CertFile.
type LocalCA struct {
	ca  *authority
	now func() time.Time
}

// OpenLocalCA loads the CA from local-ca.crt and local-ca.key in dir, or makes
// it. now is the clock for it and for the certificates it signs.
func OpenLocalCA(dir string, now func() time.Time) (*LocalCA, error) {
	ca, err := openCA(dir, "local-ca", "regctl local CA", now())
	if err != nil {
		return nil, err
	}
	return &LocalCA{ca: ca, now: now}, nil
}

// CertFile is the path of the CA's certificate (PEM).
func (l *LocalCA) CertFile() string { return l.ca.certFile }

// TLSConfig returns a server's configuration for names (host names or IP
// addresses), localhost and the loopback addresses 127.0.0.1 and ::1; a client
// that asks for another name gets the alert unrecognized_name (RFC 6066). Its
// certificate lives in memory, for 30 days, and is replaced when a third of
// that is left.
func (l *LocalCA) TLSConfig(names ...string) *tls.Config {
	leaf := &servingLeaf{LocalCA: l, dns: []string{"localhost"}, ips: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.ips = append(leaf.ips, ip)
		} else {
			leaf.dns = append(leaf.dns, strings.ToLower(name))
		}
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: leaf.get,
	}
}

// servingLeaf is the certificate of one TLSConfig.
type servingLeaf struct {
	*LocalCA
	dns []string
	ips []net.IP

	mu   sync.Mutex // also makes concurrent handshakes wait for one new leaf
	cert *tls.Certificate
}

func (s *servingLeaf) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// Clients send no server name for an IP address.
	if name := strings.ToLower(hello.ServerName); name != "" && !slices.Contains(s.dns, name) {
		return nil, nil // crypto/tls sends unrecognized_name only without an error
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.cert == nil || due(s.cert.Leaf, now) {
		cert, err := s.mint(now)
		if err != nil {
			return nil, fmt.Errorf("making a certificate for %s: %w", strings.Join(s.dns, ", "), err)
		}
		s.cert = cert
	}
	return s.cert, nil
}

// due says whether cert must be replaced: less than a third of its life is
// left, or the clock was put back to before it.
func due(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < cert.NotAfter.Sub(cert.NotBefore)/3 || now.Before(cert.NotBefore)
}

func (s *servingLeaf) mint(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "regctl edge"},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    s.dns,
		IPAddresses: s.ips,
	}
	if template.NotAfter.After(s.ca.cert.NotAfter) {
		template.NotAfter = s.ca.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.ca.cert, key.Public(), s.ca.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, nil
}
