package certs

import (
	"context"
	"fmt"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

const (
	signingCAName  = "signing-ca"
	signingCATitle = "regctl token signing CA"
)

// SigningCA loads the CA that signs the certificates of token keys from
// signing-ca.crt and signing-ca.key in dir, or makes it, and returns the paths of
// both. The registry trusts the certificate (auth.token.rootcertbundle); only
// the auth server reads the key.
func SigningCA(dir string) (certFile, keyFile string, err error) {
	ca, err := openCA(dir, signingCAName, signingCATitle, time.Now())
	if err != nil {
		return "", "", err
	}
	return ca.certFile, ca.keyFile, nil
}

type signing struct {
	ca     caFiles
	bundle string
}

// NewSigning makes the CA that signs the certificates of token keys (see
// [SigningCA]) if it is missing: the certificate, mode 0644; the key, mode 0600,
// for owner, who is the auth server; and bundleCopy, the certificate once more,
// where the registry sees it. A certificate without its key is an error that
// says what to do. The directories exist.
func NewSigning(certFile, keyFile, bundleCopy string, owner host.Owner) step.Step {
	return signing{caFiles{certFile, keyFile, signingCATitle, owner}, bundleCopy}
}

func (signing) Name() string { return "signing-key" }

func (s signing) Check(_ context.Context, l host.Looker) (step.Change, error) {
	ca, err := s.ca.load(l, time.Now())
	if err != nil {
		return step.Change{}, fmt.Errorf("signing CA: %w", err)
	}
	if ca == nil {
		return step.Create.Because("no signing CA %s", s.ca.certFile), nil
	}
	key, err := l.ReadFile(s.ca.keyFile)
	if err != nil {
		return step.Change{}, err
	}
	if change := compareMode(s.ca.keyFile, key, s.keyAsFile(key.Content)); change.Action != step.Keep {
		return change, nil
	}
	change, err := compare(l, s.bundle, s.bundleAsFile(ca), s.ca.certFile)
	if err == nil && change.Action == step.Keep {
		return step.Keep.Because("%s lasts until %s", s.ca.certFile, ca.cert.NotAfter.Format(time.DateOnly)), nil
	}
	return change, err
}

func (s signing) Apply(_ context.Context, m host.Machine) error {
	ca, err := s.ca.open(m, time.Now())
	if err != nil {
		return fmt.Errorf("signing CA: %w", err)
	}
	key, err := m.ReadFile(s.ca.keyFile)
	if err != nil {
		return err
	}
	if _, err := m.WriteFile(s.ca.keyFile, s.keyAsFile(key.Content)); err != nil {
		return err
	}
	_, err = m.WriteFile(s.bundle, s.bundleAsFile(ca))
	return err
}

func (s signing) keyAsFile(content []byte) host.File {
	return host.File{Content: content, Mode: 0o600, Owner: s.ca.owner}
}

func (s signing) bundleAsFile(ca *authority) host.File {
	return host.File{Content: ca.certPEM, Mode: 0o644}
}
