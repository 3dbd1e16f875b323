package provision

import (
	"fmt"
	"net/mail"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/distribution/reference"

	"regctl/certs"
	"regctl/stack/auth"
)

// The values of tls.mode.
const (
	TLSLocal = "local"
	TLSFiles = "files"
	TLSACME  = "acme"
)

// Problem is a setting that cannot work.
type Problem struct {
	Key     string // in regctl.yaml, "tls.mode"
	Text    string // what is wrong, and what would be right
	Missing bool   // it needs a value and has none
}

func (p Problem) String() string { return p.Key + ": " + p.Text }

// problems collects what is wrong with settings.
type problems []Problem

func (p *problems) add(key, format string, args ...any) {
	*p = append(*p, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) missing(key, format string, args ...any) {
	*p = append(*p, Problem{key, "is missing: " + fmt.Sprintf(format, args...), true})
}

// check notes an error of a setting that is not empty.
func (p *problems) check(key, value string, check func(string) error) {
	if value == "" {
		return
	}
	if err := check(value); err != nil {
		p.add(key, "%v", err)
	}
}

// Problems are all the settings that cannot work, in the order of the file. It
// looks at nothing but c: whether files exist and names resolve is for the
// preflight. Defaults need not be filled in.
func (c Config) Problems() []Problem {
	var p problems
	if c.Version != ConfigVersion {
		p.add("version", "is %d; this regctl knows version %d", c.Version, ConfigVersion)
	}
	p.check("name", c.Name, checkProjectName)
	c.nameProblems(&p)
	c.tlsProblems(&p)
	c.edgeProblems(&p)
	p.check("firewall.backend", c.Firewall.Backend, oneOf("firewall.backend"))
	p.check("store", c.Store, oneOf("store"))
	if c.Mongo.UI && c.Store != "mongo" {
		p.add("mongo.ui", "there is no MongoDB to look at: set store to mongo, or this to false")
	}
	for _, im := range c.Images.references() {
		p.check("images", *im.ref, func(ref string) error { return checkImage(im.key, ref) })
	}
	p.check("admin.name", c.Admin.Name, auth.CheckUserName)
	p.check("admin.password_file", c.Admin.PasswordFile, checkPath)
	return p
}

// nameProblems are those of host names and the address behind them.
func (c Config) nameProblems(p *problems) {
	if c.Host == "" {
		p.missing("host", "the public name of the registry, registry.example.com")
	} else if err := c.checkHost(c.Host); err != nil {
		p.add("host", "%v", err)
	} else {
		p.check("host", c.Host, c.checkReference)
	}
	if c.Email == "" && c.TLS.Mode == TLSACME {
		p.missing("email", "the certificate authority wants an address to write to")
	}
	p.check("email", c.Email, checkEmail)
	p.check("auth.host", c.Auth.Host, c.checkHost)
}

func (c Config) tlsProblems(p *problems) {
	if c.TLS.Mode == "" {
		p.missing("tls.mode", "want %s", orList(Choices("tls.mode")))
	}
	p.check("tls.mode", c.TLS.Mode, oneOf("tls.mode"))
	for _, file := range []struct{ key, path, what string }{
		{"tls.cert", c.TLS.Cert, "the certificate and its chain"},
		{"tls.key", c.TLS.Key, "the private key"},
	} {
		switch {
		case file.path == "" && c.TLS.Mode == TLSFiles:
			p.missing(file.key, "tls.mode %s needs the file of %s (PEM)", TLSFiles, file.what)
		case file.path != "" && c.TLS.Mode != TLSFiles:
			p.add(file.key, "is only for tls.mode %s: leave it out, or choose that mode", TLSFiles)
		default:
			p.check(file.key, file.path, checkPath)
		}
	}
	p.check("tls.profile", c.TLS.Profile, oneOf("tls.profile"))
	p.check("tls.dhparams", c.TLS.DHParams, func(text string) error {
		_, err := certs.ParseDHMode(text)
		return err
	})
}

func (c Config) edgeProblems(p *problems) {
	full := c.WithDefaults().Edge
	for _, port := range []struct {
		key    string
		number int
	}{{"edge.http_port", full.HTTPPort}, {"edge.https_port", full.HTTPSPort}} {
		if port.number < 1 || port.number > 65535 {
			p.add(port.key, "%d is no port: want a number from 1 to 65535", port.number)
		}
	}
	if full.HTTPPort == full.HTTPSPort {
		p.add("edge.https_port", "is %d, as edge.http_port: they need two ports", full.HTTPSPort)
	}
	p.check("edge.nginx_version", c.Edge.NginxVersion, checkNginxVersion)
}

// oneOf checks that a value is one of the setting's choices.
func oneOf(key string) func(string) error {
	return func(value string) error {
		if choices := Choices(key); !slices.Contains(choices, value) {
			return fmt.Errorf("%q: want %s", value, orList(choices))
		}
		return nil
	}
}

// orList is "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// checkProjectName accepts what compose does.
func checkProjectName(name string) error {
	if loader.NormalizeProjectName(name) != name || len(name) > 63 {
		return fmt.Errorf("%q: want up to 63 lower-case letters, digits, - and _, the first a letter or digit", name)
	}
	return nil
}

// checkEmail accepts a bare address on a host with a domain.
func checkEmail(text string) error {
	addr, err := mail.ParseAddress(text)
	if err != nil || addr.Address != text {
		return fmt.Errorf("%q is no e-mail address: want one like admin@example.com, without a name", text)
	}
	domain := text[strings.LastIndexByte(text, '@')+1:]
	if canonical, err := CanonicalHost(domain); err != nil || !strings.Contains(canonical, ".") {
		return fmt.Errorf("%q: no mail gets to %q from elsewhere: want an address like admin@example.com", text, domain)
	}
	return nil
}

// checkPath accepts absolute paths: timers and containers have other working
// directories.
func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Errorf("%q: want an absolute path, without .. and doubled slashes", path)
	}
	return nil
}

func checkNginxVersion(version string) error {
	if !regexp.MustCompile(`^\d{1,4}\.\d{1,4}\.\d{1,4}$`).MatchString(version) {
		return fmt.Errorf("%q: want three numbers, 1.30.6", version)
	}
	return nil
}

// checkImage checks a reference as the engine does.
func checkImage(key, ref string) error {
	if _, err := reference.ParseNormalizedNamed(ref); err != nil {
		return fmt.Errorf("%s: %q: %w; want NAME[:TAG][@DIGEST], docker.io/library/nginx:1.30", key, ref, err)
	}
	return nil
}

// maxDir is the longest installation directory, in bytes: the path of a unix
// socket in it may have 107 (unix(7)).
const maxDir = 80

// CheckDir says why dir cannot hold an installation. Its path gets into files of
// nginx, compose and systemd, which have nothing in common for quoting.
func CheckDir(dir string) error {
	switch {
	case checkPath(dir) != nil:
		return checkPath(dir)
	case dir == "/":
		return fmt.Errorf("%q: want a directory of its own, /srv/regctl", dir)
	case len(dir) > maxDir:
		return fmt.Errorf("%q has %d bytes: want at most %d, since paths of sockets are limited", dir, len(dir), maxDir)
	case !regexp.MustCompile(`^[A-Za-z0-9/._@+-]+$`).MatchString(dir):
		return fmt.Errorf("%q: want only letters, digits and / . _ - + @ in it", dir)
	}
	return nil
}
