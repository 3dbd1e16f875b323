package templates_test

import (
	"strings"

	"regctl/provision/host"
	"regctl/templates"
)

// minimal is what `regctl init --host registry.test --yes` makes of a host.
func minimal() templates.Data {
	return templates.Data{
		Name: "regctl", Dir: "/srv/regctl",
		Host: "registry.test", HTTPPort: 80, HTTPSPort: 443, IPv6: true,
		NginxVersion: "1.30.6", NginxUser: "nginx", TLSProfile: "intermediate", HSTS: true,
		Store:      "sqlite",
		NginxImage: "nginx:1.30-alpine", RegistryImage: "registry:3.1", AuthImage: "regctl:0123456789ab",
		UID:         101,
		TokenIssuer: "regctl", TokenService: "Docker registry",
		HTTPSecret: host.NewSecret(strings.Repeat("not a secret ", 3)),
		MemoryMiB:  4096,
	}
}

// example is a way to set up a host; the golden files of it are in
// testdata/NAME.
type example struct {
	name   string
	change func(*templates.Data)
}

func (e example) data() templates.Data {
	d := minimal()
	e.change(&d)
	return d
}

func examples() []example {
	return []example{
		{"minimal", func(d *templates.Data) {}},
		{"two-hosts", func(d *templates.Data) { d.AuthHost = "auth.test" }},
		{"mongo", func(d *templates.Data) { d.Store, d.MongoImage = "mongo", "mongo:8.0" }},
		{"mongo-ui", func(d *templates.Data) {
			d.Store, d.MongoImage = "mongo", "mongo:8.0"
			d.MongoUI, d.MongoUIImage = true, "mongo-express:1.0"
		}},
		{"builtin", func(d *templates.Data) {
			d.Builtin = true
			d.NginxImage, d.RegistryImage, d.NginxVersion, d.NginxUser = "", "", "", ""
		}},
		{"builtin-two-hosts", func(d *templates.Data) {
			d.Builtin, d.AuthHost, d.IPv6 = true, "auth.test", false
		}},
		// Everything that is not a default: also what has to be quoted.
		{"own-everything", func(d *templates.Data) {
			d.Name, d.Dir = "second", "/srv/second registry"
			d.AuthHost = "auth.test"
			d.HTTPPort, d.HTTPSPort, d.IPv6, d.HSTS = 8080, 8443, false, false
			d.TokenIssuer, d.MemoryMiB = "Acme's $auth: #1 {server};", 0
			d.DockerHost = "unix:///run/second.sock"
		}},
		{"modern", func(d *templates.Data) { d.TLSProfile = "modern" }},
		{"compatible", func(d *templates.Data) { d.TLSProfile = "compatible" }},
		{"nginx-1.18.0", func(d *templates.Data) { d.NginxVersion = "1.18.0" }},
		{"nginx-1.24.0", func(d *templates.Data) { d.NginxVersion = "1.24.0" }},
		{"nginx-1.25.1", func(d *templates.Data) { d.NginxVersion = "1.25.1" }},
	}
}
