package auth

import "testing"

// With Compat what is refused is a warning, and means what docker_auth makes
// of it.
func TestConfigCompat(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	open := func(name string) func(*Config) bool {
		return func(c *Config) bool {
			u, ok := c.Users[name]
			return ok && u.PasswordHash == nil
		}
	}
	all := func(c *Config) bool {
		m := c.ACL[0].Match
		return m.Account == nil && m.Labels == nil && m.IP == nil
	}
	for _, row := range []struct {
		text, warning string
		holds         func(*Config) bool
	}{
		{partACL + "users:\n  bob: {}", "FILE:5: users.bob has no password, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME)", open("bob")},
		{partACL + "users:\n  bob: {password: }", "FILE:5: users.bob.password is blank, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME)", open("bob")},
		{partACL + "users:\n  ~: {}", `FILE:5: users: an unquoted null or ~ is the name "", the anonymous user: write "" if that is meant, or quote the name`, open("")},
		{partACL + "users:\n  bob: {password: x}", "FILE:5: users.bob.password is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME", func(c *Config) bool { return *c.Users["bob"].PasswordHash == "x" }},
		{partACL + "users:\n  bob: {password: '$2a$31" + bcryptHash[6:] + "'}", "FILE:5: users.bob.password has bcrypt cost 31, so each guess keeps a core busy for seconds (at most 15): make one with htpasswd -nB -C 10 NAME", func(c *Config) bool { return dearest(c.Users, nil) == maxHashCost }},
		{partACL + "users:\n  bob: {password: 'BCRYPT', expire: 1}", `FILE:5: users.bob: unknown key "expire"; did you mean "expires"?`, func(c *Config) bool { return c.Users["bob"].Expires.IsZero() }},
		{partUsers + "acl:\n- {match: {account: }, actions: []}", `FILE:5: invalid ACL: entry 0, match.account is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out`, all},
		{partUsers + "acl:\n- {match: {ip: ~}, actions: []}", `FILE:5: invalid ACL: entry 0, match.ip is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out`, all},
		{partUsers + "acl:\n- {match: {labels: }, actions: []}", `FILE:5: invalid ACL: entry 0, match.labels is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out`, all},
		{partUsers + "acl:\n- {match: {team: x}, actions: []}", `FILE:5: invalid ACL: entry 0, match: unknown key "team"`, all},
		{partUsers + "acl:\n- {match: {}, actions: [], action: [x]}", `FILE:5: invalid ACL: entry 0: unknown key "action"; did you mean "actions"?`, all},
		{partUsers + "acl:\n- {match: {name: 'a['}, actions: []}", "", func(c *Config) bool { return *c.ACL[0].Match.Name == "a[" }},
	} {
		text := partServer + partToken + row.text + "\n"
		if _, err := f.load(t, text, LoadOptions{}); err == nil {
			t.Errorf("%s\nloads without Compat", row.text)
		}
		cfg, err := f.load(t, text, LoadOptions{Compat: true})
		if err != nil {
			t.Errorf("%s\n%v", row.text, err)
			continue
		}
		if len(cfg.Warnings) != 1 || row.warning != "" && cfg.Warnings[0] != row.warning {
			t.Errorf("%s\ngot  %q\nwant %q", row.text, cfg.Warnings, row.warning)
		}
		if !row.holds(cfg) || !cfg.Compat {
			t.Errorf("%s\ngives %+v", row.text, cfg)
		}
	}
	// What docker_auth crashes on stays an error.
	for _, entry := range []string{"{actions: []}", "{match: {}}", "{match: {name: /(/}, actions: []}", "{match: {}, actions: [], expires: }"} {
		if _, err := f.load(t, partServer+partToken+partUsers+"acl: ["+entry+"]\n", LoadOptions{Compat: true}); err == nil {
			t.Errorf("%s loads", entry)
		}
	}
}
