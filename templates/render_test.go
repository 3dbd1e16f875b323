package templates_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"regctl/provision/host"
	"regctl/templates"
)

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	dir := func(dir string) func(*templates.Data) { return func(d *templates.Data) { d.Dir = dir } }
	name := func(name string) func(*templates.Data) { return func(d *templates.Data) { d.Host = name } }
	for _, test := range []struct {
		change func(*templates.Data)
		want   string // in the error
	}{
		{func(d *templates.Data) { d.Name = "Up" }, `Name: "Up"`},
		{func(d *templates.Data) { d.Name = "a\nb" }, `Name: "a\nb"`},
		{func(d *templates.Data) { d.Name = "../a" }, "Name: "},
		{dir(""), "Dir: "},
		{dir("srv/regctl"), "Dir: "},
		{dir("/srv/../regctl"), "Dir: "},
		{dir("/srv/a\nb"), "Dir: "},
		{dir(`/srv/a"b`), "Dir: "},
		{dir("/srv/a'b"), "Dir: "},
		{dir(`/srv/a\b`), "Dir: "},
		{dir("/srv/$a"), "Dir: "},
		{dir("/srv/a;b"), "Dir: "},
		{dir("/srv/{a}"), "Dir: "},
		{dir("/srv/a:b"), "Dir: "},
		{dir("/srv/a#b"), "Dir: "},
		{dir("/srv/%h"), "Dir: "},
		{dir("/srv/a*"), "Dir: "},
		{dir("/srv/a\u2028b"), "Dir: "},
		{dir("/srv/a\xffb"), "Dir: "},
		{dir("/srv/" + strings.Repeat("a", 76)), "1 bytes too long for the paths of sockets"},
		{name(""), "Host: "},
		{name("Registry.test"), "Host: "},
		{name("registry.test:5000"), "Host: "},
		{name("registry.test; return 200"), "Host: "},
		{name("*.test"), "Host: "},
		{name("-a.test"), "Host: "},
		{name("a..test"), "Host: "},
		{name("a.test."), "Host: "},
		{name("a_b.test"), "Host: "},
		{name("10.0.0.1"), "Host: "},
		{name("::1"), "Host: "},
		{name(strings.Repeat("a.", 115) + "b"), "Host: longer than"},
		{func(d *templates.Data) { d.AuthHost = "a b" }, `AuthHost: "a b"`},
		{func(d *templates.Data) { d.HTTPPort = 0 }, "HTTPPort: 0 is no port"},
		{func(d *templates.Data) { d.HTTPSPort = 65536 }, "HTTPSPort: 65536 is no port"},
		{func(d *templates.Data) { d.HTTPPort = 443 }, "HTTPSPort: 443 is no port, or the HTTPPort"},
		{func(d *templates.Data) { d.NginxVersion = "1.30" }, "NginxVersion: "},
		{func(d *templates.Data) { d.NginxVersion = "1.16.1" }, "older than 1.18.0"},
		{func(d *templates.Data) { d.NginxUser = "nginx;" }, "NginxUser: "},
		{func(d *templates.Data) { d.TLSProfile = "old" }, `TLSProfile: "old" is none of`},
		{func(d *templates.Data) { d.Store = "" }, `Store: "" is none of`},
		{func(d *templates.Data) { d.MongoUI = true }, "MongoUI: there is no MongoDB"},
		{func(d *templates.Data) { d.Store = "mongo" }, "MongoImage: "},
		{func(d *templates.Data) { d.NginxImage = "nginx:${TAG}" }, "NginxImage: "},
		{func(d *templates.Data) { d.AuthImage = "" }, "AuthImage: "},
		{func(d *templates.Data) { d.UID = 0 }, "UID: 0"},
		{func(d *templates.Data) { d.TokenIssuer = "a\"\nb" }, "TokenIssuer: "},
		{func(d *templates.Data) { d.TokenService = "" }, "TokenService: is empty"},
		{func(d *templates.Data) { d.HTTPSecret = host.NewSecret("short") }, "HTTPSecret: not 32"},
		{func(d *templates.Data) { d.HTTPSecret = host.NewSecret(strings.Repeat("\"", 40)) }, "HTTPSecret: not 32"},
		{func(d *templates.Data) { d.MemoryMiB = -1 }, "MemoryMiB: "},
		{func(d *templates.Data) { d.DockerHost = "unix:///run/%n.sock" }, "DockerHost: "},
		{func(d *templates.Data) { d.DockerHost = "a\"\nExecStart=" }, "DockerHost: "},
	} {
		d := minimal()
		test.change(&d)
		files, err := templates.Render(d, nil)
		switch {
		case err == nil:
			t.Errorf("%q: no error", test.want)
		case files != nil:
			t.Errorf("%q: files and an error", test.want)
		case !strings.Contains(err.Error(), "rendering the files: ") || !strings.Contains(err.Error(), test.want):
			t.Errorf("want %q, got %v", test.want, err)
		case strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), `"""`):
			t.Errorf("the secret is in %v", err)
		}
	}
}

// All at once, so that nobody repairs one field a run.
func TestRenderNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := templates.Render(templates.Data{}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Name", "Dir", "Host", "HTTPPort", "HTTPSPort", "NginxVersion", "NginxUser", "TLSProfile", "Store",
		"NginxImage", "RegistryImage", "AuthImage", "UID", "TokenIssuer", "TokenService", "HTTPSecret"} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("nothing about %s in %v", field, err)
		}
	}
}

func TestRenderAccepts(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*templates.Data){
		func(d *templates.Data) { d.Dir = "/opt/Ünïcode dir/a+b@c,d=e~f" },
		func(d *templates.Data) { d.Host = "localhost" },
		func(d *templates.Data) { d.Host = "xn--bcher-kva.test" },
		func(d *templates.Data) { d.NginxImage = "reg.test:5000/a/nginx:1@sha256:" + strings.Repeat("0", 64) },
		func(d *templates.Data) { d.DockerHost = "tcp://[::1]:2376" },
	} {
		d := minimal()
		change(&d)
		rendered(t, d, nil)
	}
	d := minimal()
	d.AuthHost = d.Host
	if string(rendered(t, d, nil)["nginx/ssl.conf"].Content) != string(rendered(t, minimal(), nil)["nginx/ssl.conf"].Content) {
		t.Error("an AuthHost that is the Host makes another ssl.conf")
	}
}

func TestRenderOwnTemplates(t *testing.T) {
	t.Parallel()
	own := func(name string) ([]byte, bool) {
		if name == "nginx/ssl.conf" {
			return []byte("# mine, for {{.Host}} and {{range .Hosts}}{{.}}{{end}}\n"), true
		}
		return nil, false
	}
	files := rendered(t, minimal(), own)
	if got := string(files["nginx/ssl.conf"].Content); got != "# mine, for registry.test and registry.test\n" {
		t.Errorf("%q", got)
	}
	if string(files["nginx/nginx.conf"].Content) != string(rendered(t, minimal(), nil)["nginx/nginx.conf"].Content) {
		t.Error("another file changed too")
	}
	// A file that was rendered is a template to begin with.
	for name, f := range rendered(t, minimal(), nil) {
		if strings.Contains(string(f.Content), "{{") {
			t.Errorf("%s has a {{ in it", name)
		}
	}
}

func TestRenderRefusesOwnTemplates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"one\n{{.Host", "/srv/regctl/templates/auth/auth_config.yml.tmpl:2: "},
		{"{{if .HSTS}}\n", "/srv/regctl/templates/auth/auth_config.yml.tmpl:2: "},
		{"one\n\n{{.Hots}}\n", "/srv/regctl/templates/auth/auth_config.yml.tmpl:3:2: "},
		{"{{shell}}", "/srv/regctl/templates/auth/auth_config.yml.tmpl:1: "},
		{`{{digest "compose.yaml"}}`, "no file compose.yaml was rendered before this one"},
		{`{{template "registry"}}`, "/srv/regctl/templates/auth/auth_config.yml.tmpl:1:"},
	} {
		_, err := templates.Render(minimal(), func(name string) ([]byte, bool) {
			return []byte(test.text), name == "auth/auth_config.yml"
		})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
}

func TestRenderOwnersAndModes(t *testing.T) {
	t.Parallel()
	d := minimal()
	for name, f := range rendered(t, d, nil) {
		mode, owner := fs.FileMode(0o644), host.Owner{}
		if name == "registry/config.yml" {
			mode, owner = 0o600, host.Owner{UID: 101, GID: 101}
		}
		if f.Mode != mode || f.Owner != owner {
			t.Errorf("%s: %v %v", name, f.Mode, f.Owner)
		}
		if secret := strings.Contains(string(f.Content), d.HTTPSecret.Reveal()); secret != (mode == 0o600) {
			t.Errorf("%s: mode %v, secret in it: %v", name, f.Mode, secret)
		}
		if err := host.ValidFile(f.File); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", d, d, d); strings.Contains(text, d.HTTPSecret.Reveal()) {
		t.Error("Data prints its secret")
	}
}

func TestUnitName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"regctl": "regctl.service", "second": "regctl-second.service", "docker": "regctl-docker.service",
	} {
		if got := templates.UnitName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestNginxBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1.25.0", "1.25.1", true}, {"1.25.1", "1.25.1", false}, {"1.9.15", "1.25.1", true}, {"1.30.6", "1.25.1", false}, {"2.0.0", "1.25.1", false},
	} {
		if got := (templates.Data{NginxVersion: test.a}).NginxBefore(test.b); got != test.want {
			t.Errorf("%s before %s: %v", test.a, test.b, got)
		}
	}
}
