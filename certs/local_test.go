package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// handshake connects a client that trusts ca to a server with config, and
// returns the server's certificate.
func handshake(t *testing.T, ca *LocalCA, config *tls.Config, serverName string) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, ca.CertFile()))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = tls.Server(conn, config).Handshake() // the client tells
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: serverName, Time: ca.now, NextProtos: []string{"h2"}})
	if err := client.Handshake(); err != nil {
		return nil, err
	}
	state := client.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		t.Errorf("ALPN: %q", state.NegotiatedProtocol)
	}
	return state.PeerCertificates[0], nil
}

func TestLocalCAServesItsNames(t *testing.T) {
	t.Parallel()
	ca, err := OpenLocalCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	config := ca.TLSConfig("Reg.Example", "192.0.2.7")
	for _, name := range []string{"reg.example", "REG.example", "localhost", "127.0.0.1", "::1", "192.0.2.7"} {
		if _, err := handshake(t, ca, config, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"other.example", "x.reg.example"} {
		if _, err := handshake(t, ca, config, name); err == nil || err.Error() != "remote error: tls: unrecognized name" {
			t.Errorf("%s: %v, want the alert unrecognized_name", name, err)
		}
	}
	if _, err := handshake(t, ca, config, "192.0.2.8"); err == nil { // no server name is sent; the client refuses
		t.Error("192.0.2.8 was accepted")
	}
	if config.MinVersion != tls.VersionTLS12 {
		t.Errorf("TLS from version %x on", config.MinVersion)
	}
}

func TestLeafIsReplacedInTime(t *testing.T) {
	t.Parallel()
	clock := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	ca, err := OpenLocalCA(t.TempDir(), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	config := ca.TLSConfig("reg.example")
	serial := func() string {
		t.Helper()
		leaf, err := handshake(t, ca, config, "reg.example")
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	first := serial()
	clock.add(19 * 24 * time.Hour)
	if serial() != first {
		t.Error("replaced with more than a third of its life left")
	}
	clock.add(24 * time.Hour)
	second := serial()
	if second == first {
		t.Error("not replaced with a third of its life left")
	}
	clock.add(365 * 24 * time.Hour)
	if serial() == second {
		t.Error("served an expired certificate")
	}

	clock.add(365 * 24 * time.Hour)
	serials := make(chan string, 16)
	var clients sync.WaitGroup
	for range cap(serials) {
		clients.Go(func() {
			if leaf, err := handshake(t, ca, config, "reg.example"); err == nil {
				serials <- leaf.SerialNumber.String()
			}
		})
	}
	clients.Wait()
	close(serials)
	one, n := <-serials, 1
	for other := range serials {
		n++
		if other != one {
			t.Error("clients at once were given different certificates")
		}
	}
	if n != cap(serials) {
		t.Errorf("%d of %d handshakes", n, cap(serials))
	}
}

func TestLeafDoesNotOutliveItsCA(t *testing.T) {
	t.Parallel()
	clock := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	ca, err := OpenLocalCA(dir, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	config := ca.TLSConfig("reg.example")
	clock.t = ca.ca.cert.NotAfter.Add(-time.Hour)
	if leaf, err := handshake(t, ca, config, "reg.example"); err != nil || leaf.NotAfter.After(ca.ca.cert.NotAfter) {
		t.Errorf("%v, %v", leaf, err)
	}
	clock.add(2 * time.Hour)
	if _, err := OpenLocalCA(dir, clock.now); err == nil || !strings.Contains(err.Error(), "expired on 2036-03-01") {
		t.Errorf("an expired CA: %v", err)
	}
}

func TestCAIsKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	certFile, keyFile, err := SigningCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := read(t, certFile, keyFile)
	again, _, err := SigningCA(dir)
	if err != nil || again != certFile || !bytes.Equal(read(t, certFile, keyFile), before) {
		t.Errorf("the second time: %s, %v", again, err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, certFile: 0o644, keyFile: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ca := pair.Leaf
	if !ca.IsCA || !ca.MaxPathLenZero || ca.MaxPathLen != 0 || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("CA %v, path length %d, key usage %b", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
	}
	if years := ca.NotAfter.Sub(ca.NotBefore).Hours() / 24 / 365.25; years < 9.9 || years > 10.1 {
		t.Errorf("valid for %f years", years)
	}
}

// A crash after the key and before the certificate leaves the key, and perhaps
// a temporary file.
func TestCAAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, err := SigningCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	key := read(t, keyFile)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".signing-ca.crt.1.tmp"), []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SigningCA(dir); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, keyFile), key) {
		t.Error("the key was replaced")
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
}

func TestCARefused(t *testing.T) {
	t.Parallel()
	stranger := t.TempDir()
	if _, _, err := SigningCA(stranger); err != nil {
		t.Fatal(err)
	}
	for want, damage := range map[string]func(certFile, keyFile string) error{
		"lost its key":   func(_, keyFile string) error { return os.Remove(keyFile) },
		"chmod 600":      func(_, keyFile string) error { return os.Chmod(keyFile, 0o640) },
		"failed to find": func(certFile, _ string) error { return os.WriteFile(certFile, nil, 0o600) },
		"does not match": func(certFile, _ string) error {
			return os.WriteFile(certFile, read(t, filepath.Join(stranger, "signing-ca.crt")), 0o600)
		},
		"is not a CA": writeLeaf,
		"holds no PEM": func(certFile, keyFile string) error {
			return errors.Join(os.Remove(certFile), os.WriteFile(keyFile, nil, 0o600))
		},
	} {
		dir := t.TempDir()
		certFile, keyFile, err := SigningCA(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(certFile, keyFile); err != nil {
			t.Fatal(err)
		}
		if _, _, err := SigningCA(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want %q and the file", err, want)
		}
	}
}

// writeLeaf replaces a CA by a certificate of its key that is none.
func writeLeaf(certFile, keyFile string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	template := &x509.Certificate{NotBefore: pair.Leaf.NotBefore, NotAfter: pair.Leaf.NotAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair.Leaf.PublicKey, pair.PrivateKey)
	if err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// read returns the contents of files, one after the other.
func read(t *testing.T, paths ...string) (all []byte) {
	t.Helper()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}
