package certs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

type filesPair struct {
	certFile, keyFile string
	file              PairFile
	names             []string
	now               func() time.Time
}

// NewFilesPair copies a certificate with its chain, and its key, which the
// operator has in two files (PEM; they may be the same file), into pairFile,
// and again when they have changed. It refuses what a server could not use for
// names, saying why: see [CheckFiles]. The directory of pairFile exists.
func NewFilesPair(certFile, keyFile string, pairFile PairFile, names []string, now func() time.Time) step.Step {
	return filesPair{certFile, keyFile, pairFile, names, now}
}

// CheckFiles says why the certificate and key in these files cannot be used for
// names at this time, all reasons at once; each names the file it is about.
func CheckFiles(l host.Looker, certFile, keyFile string, names []string, now time.Time) error {
	_, err := readFiles(l, certFile, keyFile, names, now)
	return err
}

func readFiles(l host.Looker, certFile, keyFile string, names []string, now time.Time) (*Pair, error) {
	certText, err := l.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyText, err := l.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	// A group may read it: Debian has one for that, ssl-cert.
	if keyText.Mode&0o007 != 0 {
		return nil, fmt.Errorf("key %s has mode %04o, everybody on this host can use it: chmod o= %s", keyFile, keyText.Mode, keyFile)
	}
	chain, err := parseChain(certText.Content)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", certFile, err)
	}
	key, err := parseKey(keyText.Content)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", keyFile, err)
	}
	pair, err := newPair(key, chain)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", keyFile, err)
	}
	if err := pair.Covers(names, now); err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

func (filesPair) Name() string { return certificateStep }

func (s filesPair) Check(_ context.Context, l host.Looker) (step.Change, error) {
	pair, err := readFiles(l, s.certFile, s.keyFile, s.names, s.now())
	if err != nil {
		return step.Change{}, err
	}
	change, err := compare(l, s.file.Path, s.file.holding(pair), s.certFile+" and "+s.keyFile)
	if err == nil && change.Action == step.Keep {
		return keepPair(s.file.Path, pair), nil
	}
	return change, err
}

func (s filesPair) Apply(_ context.Context, m host.Machine) error {
	pair, err := readFiles(m, s.certFile, s.keyFile, s.names, s.now())
	if err != nil {
		return err
	}
	return s.file.write(m, pair)
}

// PairFile is where the edge finds a pair. Only its owner may read it: root for
// nginx, whose master does that before it has workers of another user.
type PairFile struct {
	Path  string
	Owner host.Owner
}

func (f PairFile) holding(p *Pair) host.File {
	return host.File{Content: p.Encode(), Mode: 0o600, Owner: f.Owner}
}

func (f PairFile) write(m host.Machine, p *Pair) error {
	_, err := m.WriteFile(f.Path, f.holding(p))
	return err
}

func keepPair(path string, p *Pair) step.Change {
	return step.Keep.Because("%s is for %s until %s", path, strings.Join(leafNames(p.Leaf()), ", "), p.Leaf().NotAfter.Format(time.DateOnly))
}
