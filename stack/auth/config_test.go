package auth

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// A configuration as docker_auth's users have it, with what its own example
// shows of the sections that we support.
func TestConfigOfDockerAuthLoadsUnchanged(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	cfg, err := f.load(t, `
server:
  addr: ":5001"
  net: "tcp"
  path_prefix: "/token"
  certificate: "DIR/other.pem"
  key: "DIR/other.key"
  hsts: yes
  tls_min_version: TLS12
  tls_curve_preferences:
    - P521
    - 24
    - P256
  tls_cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    - 0xc014
  real_ip_header: "X-Forwarded-For"
  real_ip_pos: -2
token:
  issuer: "Acme auth server"
  expiration: 900
  certificate: "DIR/p256.pem"
  key: "DIR/p256.key"
  disable_legacy_key_id: true
users:
  "admin":
    password: "BCRYPT"
    labels:
      group: [a, "b"]
  "test": {password: "BCRYPT"}
  "": {}
acl:
  - match: {ip: "127.0.0.0/8"}
    actions: ["*"]
    comment: "Allow everything from localhost (IPv4)"
  - match: {account: "/.+/", name: "${account}/*", labels: {group: "a*"}}
    actions: ["push", "pull"]
  - match: {account: "", type: "repository", service: "s"}
    actions: []
`, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Server.TLS == nil || cfg.Token.Pair == nil {
		t.Fatal("no TLS settings or signing pair")
	}
	if got := cfg.Token.Pair.Cert.Subject.CommonName; got != "p256" {
		t.Errorf("signs with %s", got)
	}
	gotTLS := cfg.Server.TLS
	if len(gotTLS.Certificates) != 1 || gotTLS.Certificates[0].Leaf.Subject.CommonName != "other" {
		t.Error("serves another certificate")
	}
	gotTLS.Certificates = nil
	want := &Config{
		Server: ServerConfig{
			Addr: ":5001", Net: "tcp", PathPrefix: "/token", HSTS: true,
			RealIPHeader: "X-Forwarded-For", RealIPPos: -2, TrustedProxies: privateNetworks(),
			TLS: &tls.Config{
				MinVersion:       tls.VersionTLS12,
				CurvePreferences: []tls.CurveID{tls.CurveP521, tls.CurveP384, tls.CurveP256},
				CipherSuites:     []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA},
				NextProtos:       []string{"http/1.1"},
			},
		},
		Token: TokenConfig{
			Issuer: "Acme auth server", Expiration: 15 * time.Minute, DisableLegacyKeyID: true,
			X5C: true, RefreshExpiration: 90 * 24 * time.Hour, Pair: cfg.Token.Pair,
		},
		Users: map[string]StaticUser{
			"admin": {PasswordHash: pointer(bcryptHash), Labels: map[string][]string{"group": {"a", "b"}}},
			"test":  {PasswordHash: pointer(bcryptHash)},
			"":      {},
		},
		ACL: []store.Rule{
			{Seq: 0, Match: store.Match{IP: pointer("127.0.0.0/8")}, Actions: []string{"*"}, Comment: "Allow everything from localhost (IPv4)"},
			{Seq: 1, Match: store.Match{Account: pointer("/.+/"), Name: pointer("${account}/*"), Labels: map[string]string{"group": "a*"}}, Actions: []string{"push", "pull"}},
			{Seq: 2, Match: store.Match{Account: pointer(""), Type: pointer("repository"), Service: pointer("s")}, Actions: []string{}},
		},
		Audit: AuditConfig{File: "-"},
		Files: []string{"FILE", "DIR/other.pem", "DIR/other.key", "DIR/p256.pem", "DIR/p256.key"},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

func TestConfigOursLoads(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	f := newConfigFiles(t)
	cfg, err := f.load(t, `
server:
  addr: /run/auth.sock
  net: unix
  real_ip_header: X-Real-IP
  trusted_proxies: [192.0.2.7, 198.51.100.9/24, "::ffff:10.1.0.0/112", "2001:db8::/32"]
  metrics_addr: 127.0.0.1:9100
  admin_socket: /run/admin.sock
token:
  issuer: i
  expiration: 9e2
  signing_ca: {certificate: DIR/ca.pem, key: DIR/ca.key}
  refresh: true
  refresh_expiration: 2w
store: {path: /data/auth.db}
audit: {file: "-"}
users:
  bob: {password: "BCRYPT", expires: 2027-01-31, not_before: 2026-12-24T12:00Z, disabled: true}
acl:
  - {match: {}, actions: [pull], not_before: 2026-07-01, expires: "2027-01-01T00:00:00+01:00"}
`, LoadOptions{Location: berlin})
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Server: ServerConfig{
			Addr: "/run/auth.sock", Net: "unix", RealIPHeader: "X-Real-IP",
			TrustedProxies: []netip.Prefix{
				netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24"),
				netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32"),
			},
			MetricsAddr: "127.0.0.1:9100", AdminSocket: "/run/admin.sock",
		},
		Token: TokenConfig{
			Issuer: "i", Expiration: 15 * time.Minute, X5C: true, SigningCA: cfg.Token.SigningCA,
			Refresh: true, RefreshExpiration: 14 * 24 * time.Hour,
		},
		Store: &StoreConfig{SQLite: "/data/auth.db"},
		Audit: AuditConfig{File: "-"},
		Users: map[string]StaticUser{"bob": {
			PasswordHash: pointer(bcryptHash), Disabled: true,
			Window: store.Window{
				NotBefore: time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC),
				Expires:   time.Date(2027, 1, 31, 23, 0, 0, 0, time.UTC),
			},
		}},
		ACL: []store.Rule{{Actions: []string{"pull"}, Window: store.Window{
			NotBefore: time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC),
			Expires:   time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC),
		}}},
		Files: []string{"FILE", "DIR/ca.pem", "DIR/ca.key"},
	}
	if cfg.Token.SigningCA == nil || !cfg.Token.SigningCA.Cert.IsCA {
		t.Fatalf("signing CA: %+v", cfg.Token.SigningCA)
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

// A store alone is enough for both users and rules.
func TestConfigStoreOnly(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	cfg, err := f.load(t, partServer+partToken+"store: {path: a.db}\n", LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Users != nil || cfg.ACL != nil || cfg.Store.SQLite != "a.db" {
		t.Errorf("%+v", cfg)
	}
}

func TestConfigServerPairSigns(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	cfg, err := f.load(t, "server: {addr: ':1', certificate: DIR/p256.pem, key: DIR/p256.key}\ntoken: {issuer: i, expiration: 9, x5c: false}\n"+partUsers+partACL, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Token.Pair == nil || cfg.Token.Pair.Cert.Subject.CommonName != "p256" || cfg.Token.X5C {
		t.Errorf("%+v", cfg.Token)
	}
	if len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], "FILE:2: tokens are signed with server.certificate") {
		t.Errorf("warnings %q", cfg.Warnings)
	}
	if len(cfg.Files) != 3 || !slices.Equal(cfg.Server.TLS.NextProtos, []string{"h2", "http/1.1"}) {
		t.Errorf("%q %q", cfg.Files, cfg.Server.TLS.NextProtos)
	}
}

func TestConfigLongExpirationDoesNotOverflow(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	cfg, err := f.load(t, partServer+strings.Replace(partToken, "900", "9223372036854775807", 1)+partUsers+partACL, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if years := cfg.Token.Expiration.Hours() / 24 / 365; years < 290 {
		t.Errorf("%v years", years)
	}
}

func TestConfigUnreadable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.yml")
	_, err := LoadConfig(path, LoadOptions{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "could not read "+path+": ") {
		t.Errorf("%v", err)
	}
	f := newConfigFiles(t)
	full := partServer + partToken + partUsers + partACL
	full += "# " + strings.Repeat("x", maxConfigSize-len(full))
	if _, err = f.load(t, full, LoadOptions{}); err == nil || err.Error() != "could not read FILE: read FILE: larger than 8 MiB" {
		t.Errorf("%v", err)
	}
}

// A key file without end must not fill the memory.
func TestConfigKeyFilesAreBounded(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	for _, pair := range []string{"certificate: /dev/zero, key: DIR/p256.key", "certificate: DIR/p256.pem, key: /dev/zero"} {
		_, err := f.load(t, partServer+partUsers+partACL+"token: {issuer: i, expiration: 900, "+pair+"}\n", LoadOptions{})
		if err == nil || err.Error() != "FILE:4: failed to load token cert and key: read /dev/zero: larger than 1 MiB" {
			t.Errorf("%v", err)
		}
	}
}

// Nine levels of ten aliases each are 10^9 values.
func TestConfigAliasBomb(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	var b strings.Builder
	b.WriteString("x0: &x0 {a: [b]}\n")
	for i := range 9 {
		alias := "*x" + string(rune('0'+i))
		b.WriteString("x" + string(rune('1'+i)) + ": &x" + string(rune('1'+i)) + " {" + strings.Repeat("<<: "+alias+", ", 9) + "<<: " + alias + "}\n")
	}
	_, err := f.load(t, b.String()+partServer+partToken+partACL+"users: *x9\n", LoadOptions{})
	if err == nil || err.Error() != "could not parse config: FILE: document contains excessive aliasing" {
		t.Errorf("%v", err)
	}
	// What nothing refers to is not expanded.
	if _, err = f.load(t, b.String()+partServer+partToken+partACL+partUsers, LoadOptions{}); err != nil {
		t.Error(err)
	}
}
