// Package certs makes and keeps the certificates of an installation, the CA
// that signs its tokens' keys, and its Diffie-Hellman parameters.
//
// None of its steps can be undone: what they write is what clients trust, or
// takes minutes to make again, so it outlives the set-up of which it was part.
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
	"path/filepath"
	"time"

	"regctl/provision/host"
)

const (
	caYears = 10
	// backdate lets a peer whose clock is behind accept a new certificate.
	backdate = time.Hour
)

// caFiles are a CA's certificate (PEM, mode 0644) and its key (PKCS #8 in PEM,
// mode 0600).
type caFiles struct {
	certFile, keyFile string
	title             string     // begins the common name
	owner             host.Owner // of the key
}

// authority is a CA that signs leaves only (path length 0).
type authority struct {
	caFiles
	certPEM []byte
	cert    *x509.Certificate
	key     crypto.Signer
}

// openCA opens the CA in dir/name.crt and dir/name.key of this machine, and
// makes the directory and the CA if they are missing.
func openCA(dir, name, title string, now time.Time) (*authority, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	m := host.Local{}
	if found, err := host.Exists(m, dir); err != nil || !found {
		if err == nil {
			_, err = m.Mkdir(dir, 0o700, host.Owner{})
		}
		if err != nil {
			return nil, fmt.Errorf("making the directory of the CA: %w", err)
		}
	}
	f := caFiles{certFile: filepath.Join(dir, name+".crt"), keyFile: filepath.Join(dir, name+".key"), title: title}
	return f.open(m, now)
}

// open loads the CA, or makes what is missing of it: EC P-256, ten years.
//
// The key is written before the certificate, so a crash in between leaves a key
// alone, and the next call makes the certificate from it. The caller holds the
// installation's lock: files have one writer.
func (f caFiles) open(m host.Machine, now time.Time) (*authority, error) {
	cert, key, err := f.read(m)
	if err != nil {
		return nil, err
	}
	if key == nil {
		keyPEM, err := newKeyPEM()
		if err == nil {
			err = m.CreateSecret(f.keyFile, host.NewSecret(string(keyPEM)), f.owner)
		}
		if err != nil {
			return nil, fmt.Errorf("CA key: %w", err)
		}
		key = &host.File{Content: keyPEM}
	}
	if cert == nil {
		certPEM, err := newCAPEM(key.Content, f.title, now)
		if err == nil {
			_, err = m.WriteFile(f.certFile, host.File{Content: certPEM, Mode: 0o644})
		}
		if err != nil {
			return nil, fmt.Errorf("CA certificate for the key %s: %w", f.keyFile, err)
		}
		cert = &host.File{Content: certPEM}
	}
	return f.parse(cert, key, now)
}

// load is the CA if it is complete; nil, and no error, if open would make
// something of it.
func (f caFiles) load(l host.Looker, now time.Time) (*authority, error) {
	cert, key, err := f.read(l)
	if err != nil || cert == nil || key == nil {
		return nil, err
	}
	return f.parse(cert, key, now)
}

// read returns the CA's files, nil for those that are missing. A certificate
// alone is an error: somebody may trust it, and its key is lost.
func (f caFiles) read(l host.Looker) (cert, key *host.File, err error) {
	// The certificate first: where one is seen, its key was there before.
	if cert, err = readIfThere(l, f.certFile); err != nil {
		return nil, nil, fmt.Errorf("CA certificate: %w", err)
	}
	if key, err = readIfThere(l, f.keyFile); err != nil {
		return nil, nil, fmt.Errorf("CA key: %w", err)
	}
	if cert != nil && key == nil {
		return nil, nil, fmt.Errorf("%s has lost its key %s: restore the key, or remove the certificate to make a new CA", f.certFile, f.keyFile)
	}
	if key != nil && key.Mode&0o077 != 0 {
		return nil, nil, fmt.Errorf("%s has mode %04o, others can use the key: chmod 600 %s", f.keyFile, key.Mode, f.keyFile)
	}
	return cert, key, nil
}

// readIfThere reads a file, or returns nil if there is none.
func readIfThere(l host.Looker, path string) (*host.File, error) {
	f, err := l.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &f, nil
}

func (f caFiles) parse(cert, key *host.File, now time.Time) (*authority, error) {
	pair, err := tls.X509KeyPair(cert.Content, key.Content)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.certFile, f.keyFile, err)
	}
	ca := &authority{
		caFiles: f, certPEM: cert.Content, cert: pair.Leaf,
		key: pair.PrivateKey.(crypto.Signer), // X509KeyPair compared its public key, so it is one
	}
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
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
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
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der}), nil
}
