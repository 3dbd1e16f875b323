package auth

import (
	"slices"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	rest := partUsers + partACL
	server := func(more string) string {
		return "server:\n  addr: :5001\n  " + more + "\n" + partToken + rest
	}
	token := func(more string) string {
		return partServer + "token:\n  issuer: i\n  expiration: 900\n  " + more + "\n" + rest
	}
	users := func(entry string) string { return partServer + partToken + partACL + "users:\n  " + entry + "\n" }
	acl := func(entry string) string {
		return partServer + partToken + partUsers + "acl:\n  - {match: {}, actions: []}\n  - " + entry + "\n"
	}
	for _, row := range []struct{ text, want string }{
		// server
		{"", "invalid config: FILE: server.addr is required"},
		{partToken + "server:\n  net: tcp\n", "invalid config: FILE:2: server.addr is required"},
		{server("net: udp"), "invalid config: FILE:3: server.net must be unix or tcp"},
		{server("path_prefix: x/"), "invalid config: FILE:3: server.path_prefix must be an absolute path"},
		{server("tls_min_version: TLS13\n  tls_cipher_suites: []"), "invalid config: FILE:4: server.tls_cipher_suites: TLS 1.3 ciphersuites are not configurable"},
		{server("tls_min_version: 0x0304\n  tls_cipher_suites: [1]"), "invalid config: FILE:4: server.tls_cipher_suites: TLS 1.3 ciphersuites are not configurable"},
		{server("tls_min_version: TLS14"), "FILE:3: server.tls_min_version: Failed to convert TLS14 to uint16"},
		{server("tls_min_version: 0x0305"), "FILE:3: server.tls_min_version: no TLS version is 0x0305 or newer"},
		{server("tls_curve_preferences:\n  - P256\n  - p384"), "FILE:5: server.tls_curve_preferences: Failed to convert p384 to uint16"},
		{server("tls_cipher_suites: [TLS_AES_128_GCM_SHA256, 65536]"), "FILE:3: server.tls_cipher_suites: Failed to convert 65536 to uint16"},
		{server("certificate: DIR/p256.pem"), "FILE:3: failed to load server cert and key: both were not provided"},
		{server("key: DIR/p256.key"), "FILE:3: failed to load server cert and key: both were not provided"},
		{server("certificate: DIR/none.pem\n  key: DIR/p256.key"), "FILE:3: failed to load server cert and key: open DIR/none.pem: no such file or directory"},
		{server("certificate: DIR/p256.pem\n  key: DIR/ca.key"), "FILE:3: failed to load server cert and key: tls: private key does not match public key"},
		{server("certificate: DIR/ed25519.pem\n  key: DIR/ed25519.key"), "FILE:3: failed to load server cert and key: public key type ed25519.PublicKey is not supported"},
		{server("certificate: DIR/p224.pem\n  key: DIR/p224.key"), "FILE:3: failed to load server cert and key: unsupported elliptic curve P-224"},
		{server("letsencrypt: {email: a@b.c}"), "FILE:3: server.letsencrypt is not supported yet: put the certificate in server.certificate and server.key, or serve behind regctl's edge"},
		{server("trusted_proxies:\n    - 10.0.0.0/8\n    - proxy"), "invalid config: FILE:5: server.trusted_proxies: invalid CIDR address: proxy (give addresses or networks such as 10.0.0.0/8)"},
		{server("metrics_addr: 9100"), "invalid config: FILE:3: server.metrics_addr: address 9100: missing port in address"},
		{"server:\n  addr: 5001\n" + partToken + rest, "invalid config: FILE:2: server.addr: address 5001: missing port in address"},
		{"server:\n  addr: :70000\n" + partToken + rest, "invalid config: FILE:2: server.addr: address 70000: invalid port"},

		// token
		{partServer + rest, "invalid config: FILE: token.issuer is required"},
		{partServer + "token:\n  issuer:\n", "invalid config: FILE:3: token.issuer is required"},
		{partServer + "token:\n  issuer: i\n", "invalid config: FILE:2: token.expiration: expiration must be positive, got 0"},
		{partServer + "token:\n  issuer: i\n  expiration: -1\n", "invalid config: FILE:4: token.expiration: expiration must be positive, got -1"},
		{token("x5c: true"), "FILE:2: failed to load token cert and key: none provided"},
		{token("certificate: DIR/p256.pem"), "FILE:5: failed to load token cert and key: both were not provided"},
		{token("key: DIR/p256.key"), "FILE:5: failed to load token cert and key: both were not provided"},
		{token("certificate: DIR/p256.key\n  key: DIR/p256.key"), "FILE:5: failed to load token cert and key: tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"},
		{token("signing_ca:"), "FILE:2: failed to load token cert and key: none provided"},
		{token("signing_ca: {}"), "invalid config: FILE:5: token.signing_ca: certificate is required"},
		{token("signing_ca: {certificate: DIR/ca.pem}"), "invalid config: FILE:5: token.signing_ca: key is required"},
		{token("signing_ca: {certificate: DIR/ca.pem, key: DIR/ca.key}\n  key: DIR/ca.key"), "invalid config: FILE:5: token.signing_ca: give either this or token.certificate and token.key, not both"},
		{token("x5c: no\n  signing_ca: {certificate: DIR/ca.pem, key: DIR/ca.key}"), "invalid config: FILE:6: token.signing_ca: needs token.x5c: registries know the certificate that signs from there only"},
		{token("signing_ca:\n    key: DIR/p256.key\n    certificate: DIR/p256.pem"), "FILE:7: token.signing_ca: failed to load cert and key: the certificate is not that of a CA, so registries would not accept what it signs"},
		{token("signing_ca: {certificate: DIR/ca.pem, key: DIR/p256.key}"), "FILE:5: token.signing_ca: failed to load cert and key: tls: private key does not match public key"},
		{token("refresh: true"), "invalid config: FILE:5: token.refresh needs the store section, or mongo_auth: refresh tokens are kept there"},
		{token("refresh_expiration: 90"), `invalid config: FILE:5: token.refresh_expiration: "90" is not a duration: give 72h, 90d, 2w or 1d12h`},

		// sections
		{partServer + partToken + partACL, "invalid config: FILE: no auth methods are configured, this is probably a mistake. Use an empty user map if you really want to deny everyone"},
		{partServer + partToken + partACL + "users:\n", "invalid config: FILE: no auth methods are configured, this is probably a mistake. Use an empty user map if you really want to deny everyone"},
		{partServer + partToken + partUsers, "invalid config: FILE: ACL is empty, this is probably a mistake. Use an empty list if you really want to deny all actions"},
		{partServer + partToken + partUsers + "acl: ~\n", "invalid config: FILE: ACL is empty, this is probably a mistake. Use an empty list if you really want to deny all actions"},
		{partServer + partToken + partUsers + "casbin_authz: {model_path: m}\n", "invalid config: FILE:4: casbin_authz is not supported yet (supported are users, acl, mongo_auth, acl_mongo and store)"},
		{partServer + partToken + rest + "store: {}\n", "invalid config: FILE:5: store.path is required"},

		// users
		{users("bob: {}"), "invalid config: FILE:5: users.bob has no password, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME) (--compat accepts it)"},
		{users("bob:\n    password:"), "invalid config: FILE:6: users.bob.password is blank, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME) (--compat accepts it)"},
		{users("bob:\n    password: ~"), "invalid config: FILE:6: users.bob.password is blank, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME) (--compat accepts it)"},
		{users("'':\n    password:"), `invalid config: FILE:6: users."".password is blank, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME) (--compat accepts it)`},
		{users("bob:\n    password: ''"), "invalid config: FILE:6: users.bob.password is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME (--compat accepts it)"},
		{users("bob:\n    password: hunter2"), "invalid config: FILE:6: users.bob.password is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME (--compat accepts it)"},
		{users("bob: {password: '" + bcryptHash[:59] + "'}"), "invalid config: FILE:5: users.bob.password is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME (--compat accepts it)"},
		{users("bob: {password: '" + strings.Replace(bcryptHash, "$04$", "$99$", 1) + "'}"), "invalid config: FILE:5: users.bob.password is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME (--compat accepts it)"},
		{users("bob: {password: '" + strings.Replace(bcryptHash, "$04$", "$16$", 1) + "'}"), "invalid config: FILE:5: users.bob.password has bcrypt cost 16, so each guess keeps a core busy for seconds (at most 15): make one with htpasswd -nB -C 10 NAME (--compat accepts it)"},
		{users("x.y: {}"), `invalid config: FILE:5: users."x.y" has no password, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME) (--compat accepts it)`},
		{users("null: {}"), `invalid config: FILE:5: users: an unquoted null or ~ is the name "", the anonymous user: write "" if that is meant, or quote the name (--compat accepts it)`},
		{users("bob: {password: 'BCRYPT'}\n  ~: {}\n  '': {}"), `invalid config: FILE:7: users: an unquoted null or ~ is the name "", the anonymous user: write "" if that is meant, or quote the name (--compat accepts it)`},
		{users("bob:\n    password: 'BCRYPT'\n    expire: 2027-01-31"), `invalid config: FILE:7: users.bob: unknown key "expire"; did you mean "expires"? (--compat accepts it)`},
		{users("bob: {password: 'BCRYPT', expires: }"), "invalid config: FILE:5: users.bob.expires is blank: give a value or leave the key out"},
		{users("bob: {password: 'BCRYPT', not_before: ~}"), "invalid config: FILE:5: users.bob.not_before is blank: give a value or leave the key out"},
		{users("bob: {password: 'BCRYPT', disabled: }"), "invalid config: FILE:5: users.bob.disabled is blank: give a value or leave the key out"},
		{users("bob: {password: 'BCRYPT', expires: 2027-01-01T00:00Z, not_before: 2027-01-01T00:00Z}"), "invalid config: FILE:5: users.bob.expires is not after not_before"},
		{users("bob:\n    password: 'BCRYPT'\n    expires: 90d"), `invalid config: FILE:7: users.bob.expires: "90d" is a duration, and a file has no now to count from: give a date (2027-01-31) or a time with zone (2027-01-31T12:00Z, 2027-01-31T12:00:00+01:00)`},

		// acl
		{acl("match: {account: /(/}\n    actions: []"), "invalid config: FILE:6: invalid ACL: entry 1, invalid match conditions: invalid pattern \"/(/\": invalid regex pattern: error parsing regexp: missing closing ): `(`"},
		{acl("actions: []\n    match:\n      labels: {g: /(/}"), "invalid config: FILE:7: invalid ACL: entry 1, invalid match conditions: invalid match pattern \"/(/\" for label g: invalid regex pattern: error parsing regexp: missing closing ): `(`"},
		{acl("{match: {ip: x}, actions: []}"), "invalid config: FILE:6: invalid ACL: entry 1, invalid match conditions: invalid IP pattern: invalid CIDR address: x"},
		{acl("{actions: ['*']}"), "invalid config: FILE:6: invalid ACL: entry 1, match is missing: match: {} holds for everything"},
		{acl("{match: , actions: ['*']}"), "invalid config: FILE:6: invalid ACL: entry 1, match is missing: match: {} holds for everything"},
		{acl("~"), "invalid config: FILE:6: invalid ACL: entry 1, match is missing: match: {} holds for everything"},
		{acl("{match: {}}"), `invalid config: FILE:6: invalid ACL: entry 1, actions is missing: ["*"] allows all, [] denies all`},
		{acl("match: {}\n    actions:"), `invalid config: FILE:6: invalid ACL: entry 1, actions is missing: ["*"] allows all, [] denies all`},
		{acl("match:\n      account:\n    actions: []"), `invalid config: FILE:7: invalid ACL: entry 1, match.account is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out (--compat accepts it)`},
		{acl("match: {labels: ~}\n    actions: []"), `invalid config: FILE:6: invalid ACL: entry 1, match.labels is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out (--compat accepts it)`},
		{acl("match: {team: infrastructure}\n    actions: []"), `invalid config: FILE:6: invalid ACL: entry 1, match: unknown key "team" (--compat accepts it)`},
		{acl("match: {Account: bob}\n    actions: []"), `invalid config: FILE:6: invalid ACL: entry 1, match: unknown key "Account"; did you mean "account"? (--compat accepts it)`},
		{acl("match: {}\n    actions: []\n    expire: 2027-01-31"), `invalid config: FILE:8: invalid ACL: entry 1: unknown key "expire"; did you mean "expires"? (--compat accepts it)`},
		{acl("match: {}\n    actions: []\n    expires:"), "invalid config: FILE:8: invalid ACL: entry 1, expires is blank: give a value or leave the key out"},
		{acl("match: {}\n    actions: []\n    not_before: soon"), `invalid config: FILE:8: invalid ACL: entry 1, not_before: "soon" is not a date: give a date (2027-01-31) or a time with zone (2027-01-31T12:00Z, 2027-01-31T12:00:00+01:00)`},

		// docker_auth's order: of two faults the first counts
		{"server: {net: udp}\n", "invalid config: FILE:1: server.addr is required"},
		{partServer + "mongo_auth: {}\n", "invalid config: FILE: token.issuer is required"},
		{partServer + partToken + "google_auth: {}\nmongo_auth: {}\n", "invalid config: FILE:4: mongo_auth.dial_info is required"},
		{partServer + "token: {issuer: i, expiration: 900, certificate: none}\n" + partUsers, "invalid config: FILE: ACL is empty, this is probably a mistake. Use an empty list if you really want to deny all actions"},
		{partServer + "token: {issuer: i, expiration: 900, certificate: none}\n" + partUsers + "acl: [{}]\n", "invalid config: FILE:4: invalid ACL: entry 0, match is missing: match: {} holds for everything"},
	} {
		_, err := f.load(t, row.text, LoadOptions{})
		if err == nil {
			t.Errorf("no error for\n%s\nwant %s", row.text, row.want)
		} else if got := err.Error(); got != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.text, got, row.want)
		}
	}
}

func TestConfigOtherBackends(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	for _, key := range slices.Concat(strings.Fields(otherUsers), strings.Fields(otherRules)) {
		for _, value := range []string{"{}", "\n  x: y", "5"} {
			_, err := f.load(t, partServer+partToken+partUsers+partACL+key+": "+value+"\n", LoadOptions{Compat: true})
			if want := "invalid config: FILE:5: " + key + " is not supported yet (supported are users, acl, mongo_auth, acl_mongo and store)"; err == nil || err.Error() != want {
				t.Errorf("%s: %s: got %v", key, value, err)
			}
		}
		cfg, err := f.load(t, partServer+partToken+partUsers+partACL+key+":\n", LoadOptions{})
		if err != nil || len(cfg.Warnings) > 0 {
			t.Errorf("%s null: %v", key, err)
		}
	}
}

func TestConfigWarnings(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	cfg, err := f.load(t, `
Server: {addr: ":1"}
server:
  addr: ":5001"
  cetificate: x
  letsencrypt: {emial: x, unknown: y}
  trusted_proxies: []
token: {issuer: i, expiration: 900, certificate: DIR/p256.pem, key: DIR/p256.key, x5x: 1}
users:
  bob:
acl: []
audit: {path: x}
extra: {[a, b]: c}
"a\nb": 1
`, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"FILE:10: users.bob: an entry with nothing in it is ignored",
		"FILE:7: server.trusted_proxies is ignored without server.real_ip_header",
		`FILE:2: unknown key Server is ignored; did you mean "server"?`,
		`FILE:14: unknown key "a\nb" is ignored`,
		"FILE:13: unknown key extra is ignored",
		`FILE:5: unknown key server.cetificate is ignored; did you mean "certificate"?`,
		`FILE:6: unknown key server.letsencrypt.emial is ignored; did you mean "email"?`,
		"FILE:6: unknown key server.letsencrypt.unknown is ignored",
		`FILE:8: unknown key token.x5x is ignored; did you mean "x5c"?`,
		"FILE:12: unknown key audit.path is ignored",
	}
	if !slices.Equal(cfg.Warnings, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(cfg.Warnings, "\n"), strings.Join(want, "\n"))
	}
	if len(cfg.Users) != 0 || cfg.Users == nil {
		t.Errorf("users %v", cfg.Users)
	}
}

func TestConfigWarningsAreBounded(t *testing.T) {
	t.Parallel()
	cfg, err := newConfigFiles(t).load(t, partServer+partToken+partUsers+partACL+strings.Repeat("x: 1\n", 3)+manyKeys(maxWarnings+7), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) != maxWarnings+1 || cfg.Warnings[maxWarnings] != "FILE: 8 more warnings" {
		t.Errorf("%d warnings, the last is %q", len(cfg.Warnings), cfg.Warnings[len(cfg.Warnings)-1])
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("key" + strings.Repeat("x", i) + ": 1\n")
	}
	return b.String()
}

// A header is believed from the listed peers; the default lets proxies on
// private networks work.
func TestConfigTrustedProxies(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	for _, row := range []struct {
		keys string
		want int
	}{
		{"", 0},
		{", real_ip_header: X", len(privateNetworks())},
		{", real_ip_header: X-Forwarded-For, real_ip_pos: -1", len(privateNetworks())},
		{", real_ip_header: x-forwarded-for", len(privateNetworks())}, // which the client may have begun
		{", real_ip_header: X, trusted_proxies: ", len(privateNetworks())},
		{", real_ip_header: X, trusted_proxies: []", 0},
		{", real_ip_header: X, trusted_proxies: [10.0.0.1]", 1},
	} {
		cfg, err := f.load(t, "server: {addr: ':1'"+row.keys+"}\n"+partToken+partUsers+partACL, LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", row.keys, err)
		} else if warns := len(cfg.Warnings) > 0; warns != strings.HasSuffix(row.keys, "forwarded-for") {
			t.Errorf("%s: warnings %q", row.keys, cfg.Warnings)
		} else if got := len(cfg.Server.TrustedProxies); got != row.want {
			t.Errorf("%s: %d", row.keys, got)
		}
	}
}
