package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// certFiles are certificates by server name, from files that may change.
type certFiles struct {
	log   *slog.Logger
	files []*certFile
}

// certFile is one name's.
type certFile struct {
	name, path string
	seen       os.FileInfo // the version that was looked at last; nil: missing
	current    atomic.Pointer[tls.Certificate]
}

// openCertFiles loads all, or says what is wrong with each.
func openCertFiles(paths map[string]string, log *slog.Logger) (*certFiles, error) {
	c := &certFiles{log: log}
	var all []error
	for name, path := range paths {
		f := &certFile{name: name, path: path}
		c.files = append(c.files, f)
		all = append(all, f.load(log))
	}
	return c, errors.Join(all...)
}

// refresh loads what has changed since it was looked at, or with force all of
// it. What cannot be used is logged, once, and the old one stays in use.
func (c *certFiles) refresh(force bool) {
	for _, f := range c.files {
		if !force && !f.changed() {
			continue
		}
		if err := f.load(c.log); err != nil {
			c.log.Error("the certificate in use stays: " + err.Error())
			continue
		}
		c.log.Info("certificate loaded", "name", f.name, "file", f.path, "until", f.current.Load().Leaf.NotAfter)
	}
}

func (f *certFile) changed() bool {
	now, _ := os.Stat(f.path)
	if now == nil || f.seen == nil {
		return now != f.seen
	}
	return !os.SameFile(now, f.seen) || now.Size() != f.seen.Size() || !now.ModTime().Equal(f.seen.ModTime())
}

func (f *certFile) load(log *slog.Logger) error {
	f.seen, _ = os.Stat(f.path) // before it is read: a later change shows
	text, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", f.name, err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err == nil {
		err = pair.Leaf.VerifyHostname(f.name)
	}
	if err != nil {
		return fmt.Errorf("certificate of %s: %s: %w", f.name, f.path, err)
	}
	// Clients tell an expired certificate by themselves, and its operator needs
	// the port 80 of this process for the next one.
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		log.Warn("the certificate is not valid now", "name", f.name, "from", pair.Leaf.NotBefore, "until", pair.Leaf.NotAfter)
	}
	f.current.Store(&pair)
	return nil
}

// get is a tls.Config's GetCertificate. Without a certificate or an error
// crypto/tls answers with the alert unrecognized_name (RFC 6066).
func (c *certFiles) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	for _, f := range c.files {
		_, err := netip.ParseAddr(f.name)
		if f.name == name || name == "" && err == nil { // clients send no name for an address
			return f.current.Load(), nil
		}
	}
	return nil, nil
}
