package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regctl/stack/auth"
)

// registryFile is a configuration as the registry's image takes it.
func registryFile(dir, bundle string) string {
	return fmt.Sprintf(`version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %[1]s/data}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}}
http: {net: unix, addr: %[1]s/registry.sock, secret: some}
auth: {token: {realm: https://reg.example/auth, service: s, issuer: i, rootcertbundle: %[2]s, signingalgorithms: [ES256]}}
`, dir, bundle)
}

// Whatever a file says, it is served or refused with the reason, by one of the
// two that look at it.
func TestRegistryFile(t *testing.T) {
	dir := t.TempDir()
	_, bundle := newIssuer(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "empty.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := registryFile(dir, bundle)
	open := func(text string) error {
		path := filepath.Join(dir, "config.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := ReadRegistryFile(path)
		if err != nil {
			var known *auth.ConfigError
			if !errors.As(err, &known) {
				t.Errorf("%v is no ConfigError", err)
			}
			return err
		}
		app, err := newApp(config)
		if err == nil {
			err = app.Shutdown()
		}
		return err
	}
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	if err := open(strings.Replace(good, "uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}", "readonly: {enabled: true}", 1)); err != nil {
		t.Errorf("read-only: %v", err)
	}
	token := good[strings.Index(good, "auth: {token"):]
	if err := open(strings.Replace(good, token, "", 1)); err != nil {
		t.Errorf("without auth: %v", err)
	}
	for _, test := range []struct{ old, with, want string }{
		{good, "", "unsupported version"},
		{"version: 0.1", "version: 9.0", "unsupported version"},
		{"storage:", "storag:", "no storage configuration provided"},
		{"filesystem: {", "s3: {region: x, bucket: y, ", "storage.s3: this registry stores in the filesystem only"},
		{"filesystem: {", "inmemory: {", "storage.inmemory: "},
		{"  delete:", "  gcs: {}\n  delete:", "must provide exactly one storage type"},
		{"age: 168h", "age: 7 days", "Cannot parse duration"},
		{"uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}", "uploadpurging: no", "must contain additional keys"},
		{"uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}", "readonly: {enabled: 'true'}", "must have a boolean value"},
		{"net: unix", "net: udp", `http.net: "udp" is neither tcp nor unix`},
		{"addr: " + dir + "/registry.sock, ", "", "http.addr: is missing"},
		{"secret: some", "secret: some, tls: {certificate: /x, key: /y}", "http.tls: the edge serves TLS"},
		{"secret: some", "secret: some, h2c: {enabled: true}", "http.h2c: "},
		{token, "auth: {htpasswd: {realm: x, path: /x}}", "auth.htpasswd: this registry knows tokens only"},
		{"rootcertbundle: " + bundle, "rootcertbundle: " + dir + "/none.pem", "no such file"},
		{"rootcertbundle: " + bundle, "rootcertbundle: " + dir + "/empty.pem", "holds no certificate"},
		{"rootcertbundle: " + bundle + ", ", "", "auth"},
		{"issuer: i, ", "", "issuer"},
		{"[ES256]", "[XX1]", "XX1"},
		{"log:", "middleware: {storage: [{name: cloudfront, options: {}}]}\nlog:", "cloudfront"},
		{"log: {level: warn}", "log: {level: loud}", "invalid loglevel"},
	} {
		text := strings.Replace(good, test.old, test.with, 1)
		if err := open(text); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%q for %.30q: %v; want %q", test.with, test.old, err, test.want)
		}
	}
}

// What the environment overrides is judged as well; the library panics on some
// of it.
func TestRegistryFileEnvironment(t *testing.T) {
	dir := t.TempDir()
	_, bundle := newIssuer(t, dir)
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(registryFile(dir, bundle)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REGISTRY_STORAGE_S3_BUCKET", "x")
	if _, err := ReadRegistryFile(path); err == nil || !strings.Contains(err.Error(), "multiple storage drivers") {
		t.Errorf("two drivers: %v", err)
	}
}
