package provision

import (
	"slices"
	"strings"
	"testing"
)

// good is a configuration in which everything is right.
func good() Config {
	return Config{Version: ConfigVersion, Host: "registry.test", TLS: TLSConfig{Mode: TLSLocal}}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	files := func(c *Config) { c.TLS = TLSConfig{Mode: TLSFiles, Cert: "/c.pem", Key: "/c.key"} }
	acme := func(c *Config) { c.Host, c.Email, c.TLS.Mode = "registry.example.com", "admin@example.com", TLSACME }
	for _, test := range []struct {
		change func(*Config)
		want   string // lines; empty: no problem
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { *c = c.WithDefaults() }, ""},
		{files, ""},
		{acme, ""},
		{func(c *Config) { c.Version = 3 }, "version: is 3; this regctl knows version 1"},

		{func(c *Config) { c.Name = "a-b_2" }, ""},
		{func(c *Config) { c.Name = "Registry" }, `name: "Registry": want up to 63 lower-case letters, digits, - and _, the first a letter or digit`},
		{func(c *Config) { c.Name = "-a" }, `name: "-a": want up to 63 lower-case letters, digits, - and _, the first a letter or digit`},
		{func(c *Config) { c.Name = strings.Repeat("a", 64) },
			`name: "` + strings.Repeat("a", 64) + `": want up to 63 lower-case letters, digits, - and _, the first a letter or digit`},

		{func(c *Config) { c.Host = "" }, "host: is missing: the public name of the registry, registry.example.com"},
		{func(c *Config) { c.Host = "Registry.Test." }, `host: "Registry.Test.": write it as registry.test`},
		{func(c *Config) { c.Host = "bücher.test" }, `host: "bücher.test": write it as xn--bcher-kva.test`},
		{func(c *Config) { c.Host = "https://registry.test" }, `host: "https://registry.test" is a URL: give the host name alone, without https://`},
		{func(c *Config) { c.Host = "registry.test/v2" }, `host: "registry.test/v2" has a path: give the host name alone`},
		{func(c *Config) { c.Host = "registry.test:443" }, `host: "registry.test:443" has a port: give the host name alone; edge.https_port is the port's setting`},
		{func(c *Config) { c.Host = "192.0.2.1" }, `host: "192.0.2.1" is an address: give the name that points to it, for which a certificate can be made`},
		{func(c *Config) { c.Host = "[2001:db8::1]" }, `host: "[2001:db8::1]" is an address: give the name that points to it, for which a certificate can be made`},
		{func(c *Config) { c.Host = "*.registry.test" }, `host: "*.registry.test" is a wildcard: give the one name that clients use`},
		{func(c *Config) { c.Host = "me@registry.test" }, `host: "me@registry.test" is an e-mail address: give a host name`},
		{func(c *Config) { c.Host = "a_b.test" }, `host: "a_b.test" is no host name: want parts of up to 63 letters, digits and inner hyphens, with dots between`},
		{func(c *Config) { c.Host = "localhost" }, ""},
		{func(c *Config) { c.Host = "registry" },
			`host: "registry" has no dot: docker takes registry/app for a repository on Docker Hub; use a name with a dot, or another edge.https_port than 443`},
		{func(c *Config) { c.Host, c.Edge.HTTPSPort = "registry", 5000 }, ""},
		{func(c *Config) { files(c); c.Host = "localhost" }, `host: "localhost" has no dot: only tls.mode local makes certificates for such names`},
		{func(c *Config) { acme(c); c.Host = "registry.internal" },
			`host: "registry.internal" ends in a name that is not on the internet: no certificate authority knows it; use tls.mode local or a public name`},
		{func(c *Config) { acme(c); c.Auth.Host = "auth" },
			`auth.host: "auth" has no dot: no certificate authority knows such a name; use tls.mode local or a full name`},
		{func(c *Config) { c.Auth.Host = "auth" }, ""},
		{func(c *Config) { c.Auth.Host = "auth.test:1" }, `auth.host: "auth.test:1" has a port: give the host name alone; edge.https_port is the port's setting`},

		{func(c *Config) { acme(c); c.Email = "" }, "email: is missing: the certificate authority wants an address to write to"},
		{func(c *Config) { c.Email = "admin" }, `email: "admin" is no e-mail address: want one like admin@example.com, without a name`},
		{func(c *Config) { c.Email = "Admin <admin@example.com>" }, `email: "Admin <admin@example.com>" is no e-mail address: want one like admin@example.com, without a name`},
		{func(c *Config) { c.Email = "admin@localhost" }, `email: "admin@localhost": no mail gets to "localhost" from elsewhere: want an address like admin@example.com`},

		{func(c *Config) { c.TLS.Mode = "" }, "tls.mode: is missing: want local, files or acme"},
		{func(c *Config) { c.TLS.Mode = "self-signed" }, `tls.mode: "self-signed": want local, files or acme`},
		{func(c *Config) { c.TLS.Mode = TLSFiles },
			"tls.cert: is missing: tls.mode files needs the file of the certificate and its chain (PEM)\n" +
				"tls.key: is missing: tls.mode files needs the file of the private key (PEM)"},
		{func(c *Config) { c.TLS.Cert = "/c.pem" }, "tls.cert: is only for tls.mode files: leave it out, or choose that mode"},
		{func(c *Config) { files(c); c.TLS.Key = "c.key" }, `tls.key: "c.key": want an absolute path, without .. and doubled slashes`},
		{func(c *Config) { c.TLS.Profile = "old" }, `tls.profile: "old": want intermediate, modern or compatible`},
		{func(c *Config) { c.TLS.DHParams = "own:3072" }, ""},
		{func(c *Config) { c.TLS.DHParams = "/etc/dh.pem" }, ""},
		{func(c *Config) { c.TLS.DHParams = "own:1024" },
			`tls.dhparams: "own:1024": want own:2048, own:3072 or own:4096`},

		{func(c *Config) { c.Edge.HTTPPort = 70000 }, "edge.http_port: 70000 is no port: want a number from 1 to 65535"},
		{func(c *Config) { c.Edge.HTTPSPort = -1 }, "edge.https_port: -1 is no port: want a number from 1 to 65535"},
		{func(c *Config) { c.Edge.HTTPPort = 443 }, "edge.https_port: is 443, as edge.http_port: they need two ports"},
		{func(c *Config) { c.Edge.NginxVersion = "1.30.6" }, ""},
		{func(c *Config) { c.Edge.NginxVersion = "1.30" }, `edge.nginx_version: "1.30": want three numbers, 1.30.6`},

		{func(c *Config) { c.Firewall.Backend = "pf" }, `firewall.backend: "pf": want auto, ufw, iptables or none`},
		{func(c *Config) { c.Store = "mysql" }, `store: "mysql": want sqlite or mongo`},
		{func(c *Config) { c.Store, c.Mongo.UI = "mongo", true }, ""},
		{func(c *Config) { c.Mongo.UI = true }, "mongo.ui: there is no MongoDB to look at: set store to mongo, or this to false"},
		{func(c *Config) {
			c.Images = Images{Nginx: "docker.io/library/nginx:1.30", Registry: "registry@sha256:" + strings.Repeat("0", 64)}
		}, ""},
		{func(c *Config) { c.Images.Nginx = "Nginx:1" },
			`images: nginx: "Nginx:1": invalid reference format: repository name (library/Nginx) must be lowercase; want NAME[:TAG][@DIGEST], docker.io/library/nginx:1.30`},
		{func(c *Config) { c.Admin.Name = "a:b" }, `admin.name: user name "a:b": a colon ends the user name in a login (RFC 7617)`},
		{func(c *Config) { c.Admin.PasswordFile = "pw" }, `admin.password_file: "pw": want an absolute path, without .. and doubled slashes`},

		{func(c *Config) { *c = Config{Version: 1, Store: "x", Edge: EdgeConfig{HTTPPort: 443}} },
			"host: is missing: the public name of the registry, registry.example.com\n" +
				"tls.mode: is missing: want local, files or acme\n" +
				"edge.https_port: is 443, as edge.http_port: they need two ports\n" +
				`store: "x": want sqlite or mongo`},
	} {
		c := good()
		test.change(&c)
		var lines []string
		for _, p := range c.Problems() {
			lines = append(lines, p.String())
			if Setting(p.Key) == nil {
				t.Errorf("there is no setting %s", p.Key)
			}
		}
		if got := strings.Join(lines, "\n"); got != test.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c, got, test.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	c := good()
	if got := c.Refused(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if got := c.Caveats(); len(got) != 1 || got[0].String() != "firewall.backend: auto is kept for later: the firewall step is not built yet, and no port was closed" {
		t.Errorf("%v", got)
	}
	c.TLS.Mode, c.Firewall.Backend = TLSACME, "none"
	if got := c.Refused(); len(got) != 1 || got[0].String() != "tls.mode: acme is not built yet: use local or files" {
		t.Errorf("%v", got)
	}
	if got := c.Caveats(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestCheckDir(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"/srv/regctl":                          "",
		"/srv/a.b_c-d+e@f":                     "",
		"/" + strings.Repeat("a", 79):          "",
		"/" + strings.Repeat("a", 80):          "has 81 bytes: want at most 80",
		"/":                                    "want a directory of its own",
		"srv":                                  "want an absolute path",
		"/srv/../etc":                          "want an absolute path",
		"":                                     "want an absolute path",
		"/srv/a b":                             "want only letters, digits and",
		"/srv/$HOME":                           "want only letters, digits and",
		"/srv/a:b":                             "want only letters, digits and",
		"/srv/" + string([]rune{'a', 0, '\n'}): "want only letters, digits and",
	} {
		err := CheckDir(dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", dir, err, want)
		}
	}
}

// TestChoices: every setting has a description, and those of choice have values.
func TestChoices(t *testing.T) {
	t.Parallel()
	if got := Choices("store"); !slices.Equal(got, []string{"sqlite", "mongo"}) {
		t.Errorf("store: %q", got)
	}
	if got := Choices("host"); got != nil {
		t.Errorf("host: %q", got)
	}
	if Setting("tls.nothing") != nil || Setting("host.more") != nil {
		t.Error("there are settings that there are not")
	}
}
