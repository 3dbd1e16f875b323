package templates_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"

	"regctl/provision"
	"regctl/stack/auth"
	"regctl/templates"
)

func TestRegistryConfig(t *testing.T) {
	t.Parallel()
	for _, e := range examples() {
		d := e.data()
		config, err := configuration.Parse(bytes.NewReader(rendered(t, d, nil)["registry/config.yml"].Content))
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		token := config.Auth["token"]
		realm := "https://" + d.TokenHost() + d.PublicPort() + "/auth"
		got := []any{
			config.HTTP.Net, config.HTTP.Addr, config.HTTP.Secret, config.HTTP.Debug.Addr, config.HTTP.Host,
			config.Storage["filesystem"]["rootdirectory"], config.Storage["delete"]["enabled"],
			token["realm"], token["issuer"], token["service"], fmt.Sprint(token["signingalgorithms"]),
			config.Health.StorageDriver.Enabled, config.Log.AccessLog.Disabled, config.Catalog.MaxEntries,
		}
		want := []any{
			"unix", d.Dir + "/run/registry/registry.sock", d.HTTPSecret.Reveal(), "", "",
			d.Dir + "/data/registry", true,
			realm, d.TokenIssuer, d.TokenService, "[ES256 ES384 ES512 RS256]",
			true, true, 1000,
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%q, want\n%q", e.name, got, want)
		}
	}
}

func TestRegistryServes(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("registry")
	if err != nil {
		t.Skip("no registry 3 on PATH: .ci/tools makes one")
	}
	d := inTemp(t, minimal())
	ca := newAuthority(t)
	writeFile(t, filepath.Join(d.Dir, "registry", "signing-ca.crt"), certPEM(ca.cert.Raw))
	f := rendered(t, d, nil)["registry/config.yml"]
	writeFile(t, f.Path, string(f.Content))
	cmd := exec.Command(program, "serve", f.Path)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.Dir, "run/registry/registry.sock"))
		},
	}}
	for over := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		resp, err := client.Get("http://registry/") // what the health check asks for
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("health: %s", resp.Status)
			}
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the registry ended: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(over) {
			t.Fatal(err)
		}
	}
	got := ask(t, client, "GET", "http://registry/v2/", nil, nil)
	want := `Bearer realm="https://registry.test/auth",service="Docker registry"`
	if challenge := got.Header.Get("WWW-Authenticate"); got.StatusCode != http.StatusUnauthorized || challenge != want {
		t.Errorf("%s %q, want %q", got.Status, challenge, want)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
	if log := said.String(); strings.Contains(log, "level=error") {
		t.Errorf("the registry complains: %s", log)
	}
}

func TestAuthConfig(t *testing.T) {
	t.Parallel()
	d := inTemp(t, minimal())
	d.AuthHost = "auth.test"
	ca := newAuthority(t)
	writeFile(t, filepath.Join(d.Dir, "auth", "signing-ca.crt"), certPEM(ca.cert.Raw))
	writeFile(t, filepath.Join(d.Dir, "auth", "signing-ca.key"), keyPEM(t, ca.key))
	f := rendered(t, d, nil)["auth/auth_config.yml"]
	writeFile(t, f.Path, string(f.Content))
	config, err := auth.LoadConfig(f.Path, auth.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if config.Warnings != nil {
		t.Errorf("warnings: %q", config.Warnings)
	}
	got := []any{
		config.Server.Net, config.Server.Addr, config.Server.AdminSocket, config.Server.RealIPHeader,
		config.Token.Issuer, config.Token.Expiration, config.Store.SQLite, config.Audit.File,
	}
	want := []any{
		"unix", d.Dir + "/run/auth/auth.sock", d.Dir + "/run/admin.sock", "X-Real-IP",
		"regctl", 15 * time.Minute, d.Dir + "/data/auth/auth.db", d.Dir + "/data/auth/audit.log",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// inTemp moves d to a new directory, with a short name and a blank in it, and
// makes those that sockets and blobs are in.
func inTemp(t *testing.T, d templates.Data) templates.Data {
	t.Helper()
	dir, err := os.MkdirTemp("", "reg ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d.Dir = dir
	for _, sub := range []string{"run/registry", "run/auth", "run/nginx", "run/nginx-temp", "data/registry", "data/auth", "acme/webroot", "certs/live"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// Paths are written out in the templates, where they are read; this keeps them
// those of the rest of the set-up.
func TestPathsAreThoseOfProvision(t *testing.T) {
	t.Parallel()
	d := minimal()
	d.AuthHost, d.Store, d.MongoImage, d.MongoUI, d.MongoUIImage = "auth.test", "mongo", "mongo:8.0", true, "mongo-express:1"
	p := provision.Paths{Dir: d.Dir}
	known := []string{
		p.Compose(), p.Templates(), p.Nginx(), p.Registry(), p.Auth(), p.Live(), p.ACMEWebroot(), p.Pair(d.Host), p.Pair(d.AuthHost),
		p.DHParams(), p.SigningCert(), p.SigningKey(), p.Run(), p.RegistrySocket(), p.AuthSocket(), p.AdminSocket(),
		p.RegistryData(), p.AuthData(), p.MongoData(),
	}
	// Below these, names are the templates' own or those of who fills them.
	within := []string{p.Templates(), p.Nginx(), p.Registry(), p.Auth(), p.Run(), p.AuthData(), d.Dir + "/mongo", d.Dir + "/bin"}
	var all []byte
	for _, change := range []func(*templates.Data){func(*templates.Data) {}, func(d *templates.Data) { d.Builtin = true }, func(d *templates.Data) { d.Store, d.MongoUI = "sqlite", false }} {
		d := d
		change(&d)
		for _, f := range rendered(t, d, nil) {
			all = append(all, f.Content...)
		}
	}
	seen := map[string]bool{}
	for _, path := range regexp.MustCompile(d.Dir+`[a-zA-Z0-9/._-]*`).FindAllString(string(all), -1) {
		seen[path] = true
		in := func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
		if path != d.Dir && !slices.Contains(known, path) && !slices.ContainsFunc(within, in) {
			t.Errorf("no path of provision's: %s", path)
		}
	}
	for _, path := range known {
		if !seen[path] && path != p.Templates() && path != p.Compose() {
			t.Errorf("no file has %s", path)
		}
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	for _, change := range []func(*templates.Data){
		func(*templates.Data) {},
		func(d *templates.Data) { d.DockerHost = "unix:///run/other.sock" },
	} {
		d := minimal()
		d = inTemp(t, d)
		change(&d)
		// It looks whether the program can be run.
		writeFile(t, filepath.Join(d.Dir, "bin", "regctl"), "#!/bin/true\n")
		if err := os.Chmod(filepath.Join(d.Dir, "bin", "regctl"), 0o755); err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), templates.UnitName(d.Name))
		writeFile(t, unit, string(rendered(t, d, nil)["systemd/regctl.service"].Content))
		if said, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%v\n%s", err, said)
		}
	}
}
