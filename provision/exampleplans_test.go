package provision

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/stack"
	"regctl/stack/stacktest"
)

// TestExamplePlans compares the plan of each example on a fresh host with its
// plan.golden; UPDATE=1 rewrites them.
func TestExamplePlans(t *testing.T) { // not in parallel: DOCKER_HOST is the process's
	t.Setenv("DOCKER_HOST", "unix:///run/no-engine.sock")
	engine, err := stack.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	program := stacktest.Regctl(t)
	files, err := filepath.Glob("../examples/*/regctl.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		m := freshHost(t, c)
		in := New("/srv/regctl", c, Ground{Engine: engine, Program: program, Now: func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }})
		plan, err := Plan(t.Context(), m.Looker(), in.Steps())
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		var got bytes.Buffer
		for _, p := range plan {
			fmt.Fprintf(&got, "%-13s %s\n", p.Step, p.Change)
		}
		golden := filepath.Join(filepath.Dir(file), "plan.golden")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(want, got.Bytes()) {
			t.Errorf("%s is not the plan (UPDATE=1 rewrites it), %v:\n%s", golden, err, got.String())
		}
	}
}

// freshHost is a Debian as it comes, with the operator's certificate if c has one.
func freshHost(t *testing.T, c Config) host.Machine {
	t.Helper()
	m := hosttest.New(t)
	for _, dir := range []string{"/srv", "/usr/bin", "/proc", "/etc", "/etc/logrotate.d", "/run/systemd/system"} {
		m.MkdirAll(dir)
	}
	for _, program := range []string{"/usr/bin/apt-get", "/usr/bin/dpkg-query"} {
		if _, err := m.WriteFile(program, host.File{Content: []byte("#"), Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	m.Install("/usr/bin/dpkg-query", hosttest.Program{Look: hosttest.Always(hosttest.Reply{})})
	if c.TLS.Mode == TLSFiles {
		cert, key := certificateFor(t, c.Hosts())
		for path, text := range map[string][]byte{c.TLS.Cert: cert, c.TLS.Key: key} {
			m.MkdirAll(filepath.Dir(path))
			if _, err := m.WriteFile(path, host.File{Content: text, Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// certificateFor makes a certificate that nobody issued.
func certificateFor(t *testing.T, names []string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		DNSNames:  names,
		NotBefore: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
