package auth

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The dialect of docker_auth's parser, row by row.
func TestConfigDialect(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	names := func(c *Config) any {
		var all []string
		for name := range c.Users {
			all = append(all, name)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	issuer := func(c *Config) any { return c.Token.Issuer }
	hsts := func(c *Config) any { return c.Server.HSTS }
	seconds := func(c *Config) any { return c.Token.Expiration.Seconds() }
	actions := func(c *Config) any { return fmt.Sprintf("%q", c.ACL[0].Actions) }
	labels := func(c *Config) any { return fmt.Sprintf("%q", c.Users["bob"].Labels) }
	rules := func(c *Config) any { return fmt.Sprint(c.ACL == nil, len(c.ACL)) }

	const pair = "certificate: DIR/p256.pem, key: DIR/p256.key"
	token := func(keys string) string {
		return partServer + partUsers + partACL + "token: {" + keys + ", " + pair + "}\n"
	}
	server := func(keys string) string { return partToken + partUsers + partACL + "server: {" + keys + "}\n" }
	users := func(text string) string { return partServer + partToken + partACL + "users: " + text + "\n" }
	acl := func(text string) string { return partServer + partToken + partUsers + "acl: " + text + "\n" }
	for _, row := range []struct {
		name, text string
		get        func(*Config) any
		want       any // or an error
	}{
		{"unknown keys", server("addr: ':1', ADDR: [x], other: {a: b}"), func(c *Config) any { return c.Server.Addr }, ":1"},
		{"case of keys", partToken + partUsers + partACL + "Server: {addr: ':1'}", nil, "invalid config: FILE: server.addr is required"},
		{"duplicate users", users("{bob: {password: 'BCRYPT', labels: {g: [a]}}, bob: {password: 'BCRYPT', labels: {h: [b]}}}"), labels, `map["h":["b"]]`},
		{"duplicate key", token("issuer: a, expiration: 1, issuer: b"), issuer, "b"},
		{"duplicate section", acl("[{match: {}, actions: [a]}]\nacl: [{match: {}, actions: [b]}]"), actions, `["b"]`},
		{"anchor and alias", token("issuer: &i abc, expiration: 1, x: *i") + "x: *i", issuer, "abc"},
		{"alias of a section", users("{a: &a {password: 'BCRYPT'}, b: *a}"), names, "a b"},
		{"merge", "x: &base {issuer: merged, expiration: 7}\n" + token("<<: *base"), issuer, "merged"},
		{"merge of users", "x: &more {carol: {password: 'BCRYPT'}}\n" + users("{bob: {password: 'BCRYPT'}, <<: *more}"), names, "bob carol"},
		{"merge in a match", "x: &m {account: bob}\n" + acl("[{match: {<<: *m}, actions: []}]"), func(c *Config) any { return *c.ACL[0].Match.Account }, "bob"},
		{"unknown key by merge", "x: &m\n  team: bob\n" + acl("[{match: {<<: *m}, actions: []}]"), nil, `invalid config: FILE:6: invalid ACL: entry 0, match: unknown key "team" (--compat accepts it)`},
		{"second document", partServer + partToken + partUsers + partACL + "---\n- {{ not yaml\n", issuer, "i"},
		{"tab", "server:\n\taddr: ':1'\n", nil, "could not parse config: FILE:2: found character that cannot start any token"},
		{"yes", server("addr: ':1', hsts: yes"), hsts, true},
		{"on", server("addr: ':1', hsts: on"), hsts, true},
		{"true", server("addr: ':1', hsts: true"), hsts, true},
		{"no", server("addr: ':1', hsts: no"), hsts, false},
		{"off", server("addr: ':1', hsts: off"), hsts, false},
		{"quoted boolean", server("addr: ':1', hsts: 'true'"), nil, "could not parse config: FILE:4: cannot unmarshal !!str `true` into bool"},
		{"1 for a boolean", server("addr: ':1', hsts: 1"), nil, "could not parse config: FILE:4: cannot unmarshal !!int `1` into bool"},
		{"yes as text", token("issuer: yes, expiration: 1"), issuer, "yes"},
		{"number as text", token("issuer: 123, expiration: 1"), issuer, "123"},
		{"hexadecimal as text", token("issuer: 0x10, expiration: 1"), issuer, "0x10"},
		{"underscore as text", token("issuer: 1_000, expiration: 1"), issuer, "1_000"},
		{"date as text", token("issuer: 2024-01-01, expiration: 1"), issuer, "2024-01-01"},
		{"names of users", users("{yes: {password: 'BCRYPT'}, 0x10: {password: 'BCRYPT'}, 2024-01-01: {password: 'BCRYPT'}}"), names, "0x10 2024-01-01 yes"},
		{"null for text", server("addr: ':1', path_prefix: null"), func(c *Config) any { return c.Server.PathPrefix }, ""},
		{"~ for text", server("addr: ':1', path_prefix: ~"), func(c *Config) any { return c.Server.PathPrefix }, ""},
		{"blank for text", server("addr: ':1', path_prefix: "), func(c *Config) any { return c.Server.PathPrefix }, ""},
		{"quoted null as a name", users("{'~': {password: 'BCRYPT'}, \"null\": {password: 'BCRYPT'}}"), names, "null ~"},
		{"quoted number", token("issuer: i, expiration: '900'"), nil, "could not parse config: FILE:4: cannot unmarshal !!str `900` into int64"},
		{"float", token("issuer: i, expiration: 9.9"), seconds, 9.0},
		{"exponent", token("issuer: i, expiration: 9e2"), seconds, 900.0},
		{"hexadecimal", token("issuer: i, expiration: 0x10"), seconds, 16.0},
		{"underscore", token("issuer: i, expiration: 1_000"), seconds, 1000.0},
		{"too large", token("issuer: i, expiration: 18446744073709551616000"), nil, "could not parse config: FILE:4: cannot unmarshal !!float `1844674...` into int64"},
		{"scalar for a list", acl("[{match: {}, actions: '*'}]"), nil, "could not parse config: FILE:4: cannot unmarshal !!str into []string"},
		{"scalar for a label", users("{bob: {password: 'BCRYPT', labels: {g: v}}}"), nil, "could not parse config: FILE:4: cannot unmarshal !!str into []string"},
		{"elements of a list", acl("[{match: {}, actions: [~, 1, yes, 0x1, null]}]"), actions, `["" "1" "yes" "0x1" ""]`},
		{"acl as a mapping", acl("{}"), nil, "could not parse config: FILE:4: cannot unmarshal !!map into a list"},
		{"acl as text", acl("''"), nil, "could not parse config: FILE:4: cannot unmarshal !!str into a list"},
		{"acl null", acl("null") + "store: {path: x}", rules, "true 0"},
		{"acl blank", acl("") + "store: {path: x}", rules, "true 0"},
		{"acl empty", acl("[]"), rules, "false 0"},
		{"users null", users("~") + "store: {path: x}", func(c *Config) any { return c.Users == nil }, true},
		{"users empty", users("{}"), func(c *Config) any { return c.Users == nil }, false},
		{"actions empty", acl("[{match: {}, actions: []}]"), actions, `[]`},

		{"user that is text", users("\n  bob: hunter2hunter2"), nil, "could not parse config: FILE:5: cannot unmarshal !!str into a mapping"},
		{"list with a hole", acl("[a, , b]"), nil, "could not parse config: FILE:4: did not find expected node content"},
		{"no line", "a: *x\n", nil, "could not parse config: FILE: unknown anchor 'x' referenced"},
		{"whole file a list", "- a\n", nil, "could not parse config: FILE:1: cannot unmarshal !!seq into a mapping"},
		{"alias of itself", "users: &u {a: *u}\n", nil, "could not parse config: FILE: anchor 'u' value contains itself"},
		{"byte order mark", "\ufeff" + partServer + partToken + partUsers + partACL, issuer, "i"},
		{"CRLF", strings.ReplaceAll(partServer+partToken+partUsers+partACL, "\n", "\r\n"), issuer, "i"},
	} {
		cfg, err := f.load(t, row.text, LoadOptions{})
		var got any
		if err != nil {
			got = err.Error()
		} else if row.get != nil {
			got = row.get(cfg)
		}
		if got != row.want {
			t.Errorf("%s\n%s\ngot  %v\nwant %v", row.name, row.text, got, row.want)
		}
	}
}

// FuzzConfig looks for panics, and for configurations that load and should not.
func FuzzConfig(f *testing.F) {
	files := newConfigFiles(f)
	f.Chdir(files.dir)
	const good = "server: {addr: ':1'}\ntoken: {issuer: i, expiration: 9, certificate: p256.pem, key: p256.key}\n"
	for _, seed := range []string{
		good + "users: {'': {}, bob: {password: '" + bcryptHash + "', labels: {g: [a]}, expires: 2027-01-31}}\nacl: [{match: {account: bob, labels: {g: x}}, actions: ['*']}]\n",
		good + "users: {~: {}, bob: {password: }}\nacl: [{match: {account: , team: x}, actions: [a]}]\n",
		good + "x: &x {account: }\nusers: {}\nacl:\n- match:\n    <<: *x\n    name: /(a/\n  actions: [pull]\n  not_before: 2020-01-01\n",
		"server: {addr: ':1', real_ip_header: X, trusted_proxies: [10.0.0.0/8], tls_min_version: TLS12, certificate: p256.pem, key: p256.key}\n" +
			"token: {issuer: i, expiration: 0x10, signing_ca: {certificate: ca.pem, key: ca.key}, refresh: on, refresh_expiration: 90d}\nstore: {path: x}\naudit: {file: '-'}\n",
		"a: &a [*a]\n", "\ufeff%YAML 1.1\n---\n? [a]\n: b\n", "mongo_auth: {}\n",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	path := filepath.Join(f.TempDir(), "auth.yml")
	f.Fuzz(func(t *testing.T, data []byte, compat bool) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(path, LoadOptions{Compat: compat})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("error without the file: %v", err)
			}
			return
		}
		checkLoaded(t, cfg)
	})
}

// checkLoaded checks what every loaded configuration has.
func checkLoaded(t *testing.T, cfg *Config) {
	t.Helper()
	switch {
	case cfg.Server.Addr == "" || cfg.Server.Net != "tcp" && cfg.Server.Net != "unix":
		t.Errorf("server %+v", cfg.Server)
	case cfg.Token.Issuer == "" || cfg.Token.Expiration <= 0 || cfg.Token.RefreshExpiration <= 0:
		t.Errorf("token %+v", cfg.Token)
	case (cfg.Token.Pair == nil) == (cfg.Token.SigningCA == nil):
		t.Error("not exactly one thing signs")
	case cfg.Token.Refresh && cfg.Store == nil:
		t.Error("refresh tokens and no store")
	case cfg.Store == nil && (cfg.Users == nil || cfg.ACL == nil):
		t.Error("no users or rules")
	case len(cfg.Warnings) > maxWarnings+1:
		t.Errorf("%d warnings", len(cfg.Warnings))
	}
	for name, u := range cfg.Users {
		if !cfg.Compat && name != "" && (u.PasswordHash == nil || !isBcrypt(*u.PasswordHash)) {
			t.Errorf("user %q without a password", name)
		}
	}
	for i, r := range cfg.ACL {
		if r.Seq != int64(i) || r.Actions == nil {
			t.Errorf("rule %d: %+v", i, r)
		}
	}
}
