package embedded

import (
	"strings"
	"testing"
)

const goodEdgeFile = `http: [":80"]
https: [":443", "[::1]:8443"]
host: Reg.Example.
auth_host: auth.example
https_port: 443
certificates: {reg.example: /certs/reg.pem, auth.example: /certs/auth.pem}
profile: intermediate
hsts: true
registry_socket: /run/registry.sock
auth_socket: /run/auth.sock
acme_webroot: /acme
`

func TestEdgeFile(t *testing.T) {
	t.Parallel()
	f, err := parseEdgeFile([]byte(goodEdgeFile))
	if err != nil || f.Host != "reg.example" || f.AuthHost != "auth.example" || !f.HSTS || len(f.Certificates) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	one := strings.NewReplacer("auth.example\n", "reg.example\n", ", auth.example: /certs/auth.pem", "").Replace(goodEdgeFile)
	if f, err := parseEdgeFile([]byte(one)); err != nil || f.AuthHost != "" {
		t.Errorf("one name twice: %+v, %v", f, err)
	}
	for _, test := range []struct{ old, with, want string }{
		{goodEdgeFile, "", "the file is empty"},
		{"host: Reg", "hots: Reg", "field hots not found"},
		{"hsts: true", "hsts: perhaps", "cannot unmarshal"},
		{"acme_webroot: /acme\n", "acme_webroot: /acme\n---\nhost: x\n", "there is a second document"},
		{`http: [":80"]`, "http: []", "http: no address"},
		{`":80"`, `"80"`, "http: address 80: missing port in address"},
		{`":80"`, `":http"`, `http: ":http": the port is no number up to 65535`},
		{`":80"`, `":65536"`, `the port is no number`},
		{`"[::1]:8443"`, `"reg.example:8443"`, `https: "reg.example:8443": the host is no IP address`},
		{"host: Reg.Example.", "host: ''", "host: is missing"},
		{"host: Reg.Example.", "host: reg.example:443", "host: \"reg.example:443\": give the name alone"},
		{"auth_host: auth.example", "auth_host: a_b", "auth_host: \"a_b\" is no host name"},
		{"https_port: 443", "https_port: 0", "https_port: 0 is no port"},
		{"https_port: 443", "https_port: 65536", "https_port: 65536 is no port"},
		{"https_port: 443", "https_port: https", "cannot unmarshal"},
		{"reg.example: /certs/reg.pem, ", "", "certificates: none for reg.example"},
		{"/certs/reg.pem", "reg.pem", `certificates: reg.example: "reg.pem" is no absolute path`},
		{"{reg.example", "{x.example: /x, reg.example", "certificates: x.example is neither host nor auth_host"},
		{"profile: intermediate", "profile: old", `profile: "old" is none of intermediate, modern, compatible`},
		{"profile: intermediate\n", "", `profile: "" is none of`},
		{"/run/registry.sock", "''", `registry_socket: "" is no absolute path`},
		{"/run/auth.sock", "run/auth.sock", `auth_socket: "run/auth.sock" is no absolute path`},
		{"/acme\n", "./acme\n", `acme_webroot: "./acme" is no absolute path`},
	} {
		text := strings.Replace(goodEdgeFile, test.old, test.with, 1)
		if f, err := parseEdgeFile([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q for %q: %+v, %v; want %q", test.with, test.old, f, err, test.want)
		}
	}
	_, err = parseEdgeFile([]byte("profile: x\n"))
	if got := strings.Count(err.Error(), "\n") + 1; got != 8 {
		t.Errorf("%d problems are told of an empty file, want 8:\n%v", got, err)
	}
}

func FuzzEdgeFile(f *testing.F) {
	f.Add([]byte(goodEdgeFile))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseEdgeFile(text)
		if err == nil && (file.Host == "" || file.Certificates[file.Host] == "") {
			t.Errorf("accepted %q", text)
		}
	})
}
