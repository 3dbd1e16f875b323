package certs

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// servingLife is short because such a certificate is in memory alone and costs
// nothing to replace.
const servingLife = 30 * 24 * time.Hour

// LocalCA is a CA of this installation alone, for TLS without a public one:
// clients are told to trust CertFile.
type LocalCA struct {
	ca  *authority
	now func() time.Time
}

// OpenLocalCA loads the CA from local-ca.crt and local-ca.key in dir, or makes
// it. now is the clock for it and for the certificates it signs.
func OpenLocalCA(dir string, now func() time.Time) (*LocalCA, error) {
	ca, err := openCA(dir, localCAName, localCATitle, now())
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
	leaf := &servingLeaf{LocalCA: l, names: append([]string{"localhost", "127.0.0.1", "::1"}, names...)}
	leaf.dns, _ = splitNames(leaf.names)
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: leaf.get,
	}
}

// servingLeaf is the certificate of one TLSConfig.
type servingLeaf struct {
	*LocalCA
	names []string
	dns   []string // those of names that a client can ask for

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
		key, leaf, err := s.ca.mint(leafRequest{commonName: "regctl edge", names: s.names, life: servingLife}, now)
		if err != nil {
			return nil, fmt.Errorf("making a certificate for %s: %w", strings.Join(s.dns, ", "), err)
		}
		s.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	}
	return s.cert, nil
}
