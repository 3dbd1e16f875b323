// Package certs makes and keeps the certificates of an installation.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"regctl/provision/host"
)

const (
	caYears = 10
	// backdate lets a peer whose clock is behind accept a new certificate.
	backdate = time.Hour
)

// authority is a CA that signs leaves only (path length 0).
type authority struct {
	certFile, keyFile string
	cert              *x509.Certificate
	key               crypto.Signer
}

// openCA loads the CA in dir/name.crt and dir/name.key, or makes it: EC P-256,
// ten years. title begins its common name.
//
// The key is written before the certificate, so a crash in between leaves a key
// alone, and the next call makes the certificate from it. A certificate alone is
// an error: somebody may trust it, and its key is lost. The caller holds the
// installation's lock: files have one writer.
func openCA(dir, name, title string, now time.Time) (*authority, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	ca := &authority{certFile: filepath.Join(dir, name+".crt"), keyFile: filepath.Join(dir, name+".key")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the CA: %w", err)
	}
	// The certificate is looked for first: where one is seen, its key was there before.
	_, certErr := os.Stat(ca.certFile)
	_, keyErr := os.Stat(ca.keyFile)
	if certErr == nil && errors.Is(keyErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has lost its key %s: restore the key, or remove the certificate to make a new CA", ca.certFile, ca.keyFile)
	}
	keyPEM, err := readOrCreate(ca.keyFile, func() error {
		keyPEM, err := newKeyPEM()
		if err != nil {
			return err
		}
		return host.Local{}.CreateSecret(ca.keyFile, host.NewSecret(string(keyPEM)), host.Owner{})
	})
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	if err := refuseReadable(ca.keyFile); err != nil {
		return nil, err
	}
	certPEM, err := readOrCreate(ca.certFile, func() error {
		certPEM, err := newCAPEM(keyPEM, title, now)
		if err != nil {
			return err
		}
		_, err = host.Local{}.WriteFile(ca.certFile, host.File{Content: certPEM, Mode: 0o644})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("CA certificate for the key %s: %w", ca.keyFile, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", ca.certFile, ca.keyFile, err)
	}
	ca.cert = pair.Leaf
	ca.key = pair.PrivateKey.(crypto.Signer) // X509KeyPair compared its public key, so it is one
	return ca, ca.check(now)
}

// check refuses a CA whose leaves nobody would accept.
func (ca *authority) check(now time.Time) error {
	switch {
	case !ca.cert.IsCA:
		return fmt.Errorf("%s is not a CA certificate", ca.certFile)
	case now.After(ca.cert.NotAfter):
		return fmt.Errorf("%s expired on %s: remove it and %s to make a new CA", ca.certFile, ca.cert.NotAfter.Format(time.DateOnly), ca.keyFile)
	case now.Before(ca.cert.NotBefore):
		return fmt.Errorf("%s is valid from %s on: set this machine's clock", ca.certFile, ca.cert.NotBefore.Format(time.RFC3339))
	}
	return nil
}

func newKeyPEM() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// newCAPEM self-signs a CA certificate. Part of the key's hash is in its name:
// CAs of several installations must differ in trust stores, which find an issuer
// by name.
func newCAPEM(keyPEM []byte, title string, now time.Time) ([]byte, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(spki)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s %x", title, sum[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func parseKey(keyPEM []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("the key file holds no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// refuseReadable is for keys: others than their owner may not read them.
func refuseReadable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, others can use the key: chmod 600 %s", path, mode, path)
	}
	return nil
}
