package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

// certificateStep is the name of the step that fills the pair file, wherever
// the certificate comes from.
const certificateStep = "certificate"

// pairLife is how long a certificate of the local CA lasts. Clients set no
// limit for a private CA (browsers do for public ones: 398 days), but a stolen
// key is good until the certificate ends, because nobody asks a local CA for
// revocations. 90 days leaves 30 in which a broken renewal can be noticed, as
// people know it from Let's Encrypt.
const pairLife = 90 * 24 * time.Hour

// The local CA's files, without their extension, and what its name begins with.
const (
	localCAName  = "local-ca"
	localCATitle = "regctl local CA"
)

// LocalCAFile is where the certificate of the local CA is in its directory.
func LocalCAFile(caDir string) string { return filepath.Join(caDir, localCAName+".crt") }

func localCAFiles(dir string) caFiles {
	return caFiles{certFile: LocalCAFile(dir), keyFile: filepath.Join(dir, localCAName+".key"), title: localCATitle}
}

type localPair struct {
	ca    caFiles
	file  PairFile
	names []string
	now   func() time.Time
}

// NewLocalPair makes a certificate for names (host names or IP addresses) from
// a CA of this host alone, local-ca.crt and local-ca.key in caDir, which it
// makes too if it is missing. pairFile gets the key and the certificate in one
// (see [Pair]). It is made anew when a third of its 90 days is left, when the
// names have changed, and when it is not from this CA. Both directories exist.
func NewLocalPair(caDir string, pairFile PairFile, names []string, now func() time.Time) step.Step {
	return localPair{ca: localCAFiles(caDir), file: pairFile, names: names, now: now}
}

func (localPair) Name() string { return certificateStep }

func (s localPair) Check(_ context.Context, l host.Looker) (step.Change, error) {
	now := s.now()
	ca, err := s.ca.load(l, now)
	if err != nil {
		return step.Change{}, fmt.Errorf("local CA: %w", err)
	}
	if ca == nil {
		return step.Create.Because("no local CA %s", s.ca.certFile), nil
	}
	file, err := readIfThere(l, s.file.Path)
	if err != nil {
		return step.Change{}, err
	}
	if file == nil {
		return step.Create.Because("no file %s", s.file.Path), nil
	}
	pair, err := ParsePair(file.Content)
	if err != nil {
		return step.Update.Because("%s %v", s.file.Path, err), nil
	}
	if why := s.replace(ca, pair, now); why != "" {
		return step.Update.Because("%s: %s", s.file.Path, why), nil
	}
	if change := compareMode(s.file.Path, *file, s.file.holding(pair)); change.Action != step.Keep {
		return change, nil
	}
	return keepPair(s.file.Path, pair), nil
}

// replace says why the pair must be made anew; "" if it need not.
func (s localPair) replace(ca *authority, pair *Pair, now time.Time) string {
	leaf := pair.Leaf()
	if issued(ca.cert, leaf) != nil {
		return "not issued by " + ca.certFile
	}
	if due(leaf, now) { // before Covers, which says less about an expired one
		return "ends on " + leaf.NotAfter.Format(time.DateOnly)
	}
	if has, want := sortedNames(leafNames(leaf)), sortedNames(s.names); !slices.Equal(has, want) {
		return fmt.Sprintf("is for %s, not for %s", strings.Join(has, ", "), strings.Join(want, ", "))
	}
	if err := pair.Covers(s.names, now); err != nil {
		return err.Error()
	}
	return ""
}

// sortedNames makes lists of names comparable: as they stand in a certificate,
// in order, each once.
func sortedNames(names []string) []string {
	dns, ips := splitNames(names)
	for _, ip := range ips {
		dns = append(dns, ip.String())
	}
	slices.Sort(dns)
	return slices.Compact(dns)
}

func (s localPair) Apply(_ context.Context, m host.Machine) error {
	now := s.now()
	ca, err := s.ca.open(m, now)
	if err != nil {
		return fmt.Errorf("local CA: %w", err)
	}
	names := sortedNames(s.names)
	key, leaf, err := ca.mint(leafRequest{names: names, life: pairLife}, now)
	if err != nil {
		return fmt.Errorf("making a certificate for %s: %w", strings.Join(names, ", "), err)
	}
	pair, err := newPair(key, []*x509.Certificate{leaf})
	if err != nil {
		return err
	}
	return s.file.write(m, pair)
}
