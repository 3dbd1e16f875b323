package auth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxWarnings bounds Config.Warnings; finding the line of one takes time in
// proportion to the file.
const maxWarnings = 100

// Other backends of docker_auth, in the order in which it checks them. Those of
// the second list stand behind acl.
const (
	otherUsers = "xorm_auth google_auth github_auth oidc_auth gitlab_auth ext_auth ldap_auth plugin_authn"
	otherRules = "acl_xorm ext_authz plugin_authz casbin_authz"
)

const (
	noUsers = "no auth methods are configured, this is probably a mistake. Use an empty user map if you really want to deny everyone"
	noRules = "ACL is empty, this is probably a mistake. Use an empty list if you really want to deny all actions"
)

// checker turns the parsed file into a Config. It stops at the first fault,
// in docker_auth's order.
type checker struct {
	path  string
	opts  LoadOptions
	lines lineFinder
	cfg   Config
	more  int // warnings above maxWarnings
}

func newChecker(path string, data []byte, opts LoadOptions) *checker {
	return &checker{
		path: path, opts: opts,
		lines: lineFinder{data: data},
		cfg:   Config{Compat: opts.Compat, Files: []string{path}},
	}
}

// config returns the result.
func (c *checker) config() *Config {
	if c.more > 0 {
		c.cfg.Warnings = append(c.cfg.Warnings, fmt.Sprintf("%s: %d more warnings", c.path, c.more))
	}
	return &c.cfg
}

// errorf is an error at a place of the file.
func (c *checker) errorf(place keyPath, format string, args ...any) error {
	return fmt.Errorf("%s: %w", c.where(place), fmt.Errorf(format, args...))
}

func (c *checker) where(place keyPath) string {
	if line := c.lines.line(place); line > 0 {
		return fmt.Sprintf("%s:%d", c.path, line)
	}
	return c.path
}

func (c *checker) warnf(place keyPath, format string, args ...any) {
	if len(c.cfg.Warnings) == maxWarnings {
		c.more++
		return
	}
	c.cfg.Warnings = append(c.cfg.Warnings, c.where(place)+": "+fmt.Sprintf(format, args...))
}

// refuse is for what docker_auth accepts and should not: an error, or with
// Compat a warning.
func (c *checker) refuse(place keyPath, format string, args ...any) error {
	if c.opts.Compat {
		c.warnf(place, format, args...)
		return nil
	}
	return c.errorf(place, format+" (--compat accepts it)", args...)
}

// check looks at everything but the certificates and keys, which docker_auth
// reads last.
func (c *checker) check(file *section[configYAML]) error {
	f := &file.v
	steps := []func() error{
		func() error { return c.server(&f.Server.v) },
		func() error { return c.token(&f.Token.v) },
		func() error { return c.configured(file, "users mongo_auth store "+otherUsers, noUsers) },
		func() error { return c.mongo("mongo_auth", file.keys["mongo_auth"], &f.MongoAuth) },
		func() error { return c.others(file, otherUsers) },
		func() error { return c.users(&f.Users) },
		func() error { return c.configured(file, "acl acl_mongo store "+otherRules, noRules) },
		func() error { return c.acl(f.ACL) },
		func() error { return c.mongo("acl_mongo", file.keys["acl_mongo"], &f.ACLMongo) },
		func() error { return c.others(file, otherRules) },
		func() error { return c.stores(file) },
		func() error { return c.ours(file) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	c.ignored(file)
	return nil
}

// configured returns an error if the file has none of the sections.
func (c *checker) configured(file *section[configYAML], keys, otherwise string) error {
	for key := range strings.FieldsSeq(keys) {
		if file.keys[key] {
			return nil
		}
	}
	return c.errorf(nil, "%s", otherwise)
}

// others refuses the sections that we cannot do.
func (c *checker) others(file *section[configYAML], keys string) error {
	for key := range strings.FieldsSeq(keys) {
		if file.keys[key] {
			return c.errorf(at(key), "%s is not supported yet (supported are users, acl, mongo_auth, acl_mongo and store)", key)
		}
	}
	return nil
}

// ours checks the keys that docker_auth does not have.
func (c *checker) ours(file *section[configYAML]) error {
	f := &file.v
	if c.cfg.Audit.File = cmp.Or(f.Audit.v.File, "-"); c.cfg.Audit.File == "none" {
		c.cfg.Audit.File = ""
	}
	if err := c.serverOurs(&f.Server); err != nil {
		return err
	}
	return c.tokenOurs(&f.Token)
}

// ignored warns of unknown keys where they change nothing.
func (c *checker) ignored(file *section[configYAML]) {
	f := &file.v
	known := slices.Concat(file.known(), strings.Fields(otherUsers), strings.Fields(otherRules))
	for _, key := range file.unknown() {
		if !slices.Contains(known, key) {
			c.warnf(at(key), "unknown key %s is ignored%s", plainKey(key), didYouMean(key, known))
		}
	}
	warnUnknown(c, at("server"), &f.Server)
	warnUnknown(c, at("server", "letsencrypt"), &f.Server.v.LetsEncrypt)
	warnUnknown(c, at("token"), &f.Token)
	warnUnknown(c, at("token", "signing_ca"), cmp.Or(f.Token.v.SigningCA, &section[keyYAML]{}))
	c.warnMongo("mongo_auth", &f.MongoAuth)
	c.warnMongo("acl_mongo", &f.ACLMongo)
	warnUnknown(c, at("store"), &f.Store)
	warnUnknown(c, at("audit"), &f.Audit)
}

func warnUnknown[T any](c *checker, place keyPath, s *section[T]) {
	for _, key := range s.unknown() {
		p := place.child(key)
		c.warnf(p, "unknown key %s is ignored%s", p, didYouMean(key, s.known()))
	}
}

// refuseUnknown is for sections where an ignored condition or date opens more
// than was meant.
func refuseUnknown[T any](c *checker, place keyPath, s *section[T]) error {
	for _, key := range s.unknown() {
		err := c.refuse(place.child(key), "%s: unknown key %q%s", place, key, didYouMean(key, s.known()))
		if err != nil {
			return err
		}
	}
	return nil
}

// didYouMean ends a message with the known key that differs by one letter or by
// case, if there is one.
func didYouMean(key string, known []string) string {
	for _, k := range known {
		if near(strings.ToLower(key), k) {
			return fmt.Sprintf("; did you mean %q?", k)
		}
	}
	return ""
}

// near reports whether a and b differ by one letter at most, or by two that
// changed places.
func near(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 2 && len(b) == 2 {
		return a[0] == b[1] && a[1] == b[0]
	}
	return len(a) <= 1 && len(b) <= 1
}
