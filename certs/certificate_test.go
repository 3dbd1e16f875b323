package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regctl/provision/host"
)

const pairPath = "/srv/certs/live/reg.test.pem"

// pairIntact says whether the pair's file is absent or whole.
func pairIntact(names []string, now time.Time) func(host.Looker) error {
	return func(l host.Looker) error {
		f, err := l.ReadFile(pairPath)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		pair, err := ParsePair(f.Content)
		if err != nil {
			return err
		}
		return pair.Covers(names, now)
	}
}

func TestLocalPair(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	clock := &clock{t: noon}
	names := []string{"reg.test", "Auth.test", "192.0.2.7"}
	local := func(names ...string) localPair {
		return NewLocalPair("/srv/certs", PairFile{Path: pairPath}, names, clock.now).(localPair)
	}
	s := local(names...)
	if s.Name() != "certificate" {
		t.Error(s.Name())
	}
	converge(t, m, s, "create: no local CA /srv/certs/local-ca.crt")
	converge(t, m, s, "keep: "+pairPath+" is for auth.test, reg.test, 192.0.2.7 until 2026-05-30")
	if err := pairIntact(names, noon)(m); err != nil {
		t.Error(err)
	}
	for path, mode := range map[string]fs.FileMode{pairPath: 0o600, "/srv/certs/local-ca.key": 0o600, "/srv/certs/local-ca.crt": 0o644} {
		if info, err := m.Stat(path); err != nil || info.Mode != mode {
			t.Errorf("%s: %v, %v", path, info.Mode, err)
		}
	}
	ca := get(t, m, "/srv/certs/local-ca.crt")
	first := string(get(t, m, pairPath))

	clock.add(59 * 24 * time.Hour)
	converge(t, m, s, "keep: "+pairPath+" is for auth.test, reg.test, 192.0.2.7 until 2026-05-30")
	clock.add(2 * 24 * time.Hour)
	converge(t, m, s, "update: "+pairPath+": ends on 2026-05-30")
	clock.add(365 * 24 * time.Hour)
	converge(t, m, s, "update: "+pairPath+": ends on 2026-07-30")
	if string(get(t, m, pairPath)) == first {
		t.Error("the certificate was not replaced")
	}
	converge(t, m, local("reg.test"), "update: "+pairPath+": is for 192.0.2.7, auth.test, reg.test, not for reg.test")
	converge(t, m, local("reg.test", "REG.test"), "keep: "+pairPath+" is for reg.test until 2027-07-30")

	put(t, m, pairPath, 0o644, get(t, m, pairPath))
	converge(t, m, local("reg.test"), "update: "+pairPath+" has mode 0644, not 0600")
	put(t, m, pairPath, 0o600, get(t, m, pairPath)[:300])
	converge(t, m, local("reg.test"), "update: "+pairPath+" 1 of 2 PEM blocks are damaged or cut short")
	p := newPKI(t)
	put(t, m, pairPath, 0o600, append(keyPEM(t, p.server), certPEM(p.server)...))
	converge(t, m, local("reg.test"), "update: "+pairPath+": not issued by /srv/certs/local-ca.crt")
	if string(get(t, m, "/srv/certs/local-ca.crt")) != string(ca) {
		t.Error("the CA was replaced")
	}

	// A key of another certificate of the same CA.
	other := get(t, m, pairPath)
	if err := local("reg.test").Apply(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	whole := string(get(t, m, pairPath))
	put(t, m, pairPath, 0o600, []byte(whole[:strings.Index(whole, "-----BEGIN CERT")]+string(other[strings.Index(string(other), "-----BEGIN CERT"):])))
	converge(t, m, local("reg.test"), "update: "+pairPath+`: the key does not belong to the certificate of "reg.test"`)

	if _, err := m.Remove("/srv/certs/local-ca.key"); err != nil {
		t.Fatal(err)
	}
	if got := check(t, s, m.Looker()); got != "error: local CA: /srv/certs/local-ca.crt has lost its key /srv/certs/local-ca.key: restore the key, or remove the certificate to make a new CA" {
		t.Error(got)
	}
	if err := s.Apply(t.Context(), m); err == nil {
		t.Error("applied without the CA's key")
	}
}

func TestLocalPairSurvivesCrashes(t *testing.T) {
	t.Parallel()
	names := []string{"reg.test"}
	pullAll(t, NewLocalPair("/srv/certs", PairFile{Path: pairPath}, names, func() time.Time { return noon }),
		func(t *testing.T) host.Machine { return newHost(t) }, pairIntact(names, noon))
	later := noon.AddDate(0, 0, 80)
	pullAll(t, NewLocalPair("/srv/certs", PairFile{Path: pairPath}, names, func() time.Time { return later }),
		func(t *testing.T) host.Machine {
			m := newHost(t)
			converge(t, m, NewLocalPair("/srv/certs", PairFile{Path: pairPath}, names, func() time.Time { return noon }), "create: no local CA /srv/certs/local-ca.crt")
			return m
		}, pairIntact(names, later))
}

// Clients other than Go's accept what the local CA issues, and nginx reads the
// one file for both of its settings.
func TestLocalPairInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "pair.pem")
	converge(t, host.Local{}, NewLocalPair(dir, PairFile{Path: file}, []string{"reg.test", "127.0.0.1"}, time.Now), "create: no local CA "+dir+"/local-ca.crt")
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, LocalCAFile(dir)))
	for _, name := range []string{"reg.test", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, args := range [][]string{
		{"openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "reg.test", "-CAfile", LocalCAFile(dir), file},
		{"openssl", "verify", "-x509_strict", "-verify_ip", "127.0.0.1", "-CAfile", LocalCAFile(dir), file},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	group, err := RFC7919(2048)
	if err != nil {
		t.Fatal(err)
	}
	nginxAccepts(t, file, group)
}

// nginxAccepts has nginx read a pair and a group.
func nginxAccepts(t *testing.T, pair string, group *DHParams) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dh.pem": string(group.Encode()),
		"nginx.conf": `pid pid; error_log stderr; events {} http { access_log off;
			client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
			server { listen unix:` + dir + `/s ssl; ssl_dhparam dh.pem; ssl_certificate ` + pair + `; ssl_certificate_key ` + pair + `; } }`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("nginx", "-t", "-p", dir, "-c", filepath.Join(dir, "nginx.conf")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "[warn]") {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}

func TestFilesPair(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	p := newPKI(t)
	now := func() time.Time { return noon }
	files := func(names ...string) filesPair {
		return NewFilesPair("/etc/ssl/reg.crt", "/etc/ssl/reg.key", PairFile{Path: pairPath}, names, now).(filesPair)
	}
	s := files("reg.test")
	for _, missing := range []struct{ path, want string }{
		{"/etc/ssl/reg.crt", "error: certificate: open /etc/ssl/reg.crt: file does not exist"},
		{"/etc/ssl/reg.key", "error: key: open /etc/ssl/reg.key: file does not exist"},
	} {
		if got := check(t, s, m.Looker()); got != missing.want {
			t.Errorf("got %s, want %s", got, missing.want)
		}
		put(t, m, missing.path, 0o640, nil)
	}
	if err := s.Apply(t.Context(), m); err == nil {
		t.Error("applied without files")
	}
	put(t, m, "/etc/ssl/reg.crt", 0o644, certPEM(p.server, p.lower))
	put(t, m, "/etc/ssl/reg.key", 0o640, keyPEM(t, p.server))
	converge(t, m, s, "create: no file "+pairPath)
	kept := "keep: " + pairPath + " is for reg.test, *.example.test until 2026-04-01"
	converge(t, m, s, kept)
	converge(t, m, files("reg.test", "auth.example.test"), kept)
	if info, err := m.Stat(pairPath); err != nil || info.Mode != 0o600 {
		t.Errorf("%v, %v", info.Mode, err)
	}

	// The operator renews one file after the other.
	renewed := issue(t, p.lower, "server", asServer)
	before := string(get(t, m, pairPath))
	put(t, m, "/etc/ssl/reg.crt", 0o644, certPEM(renewed, p.lower))
	if got := check(t, s, m.Looker()); got != `error: certificate /etc/ssl/reg.crt with key /etc/ssl/reg.key: the key does not belong to the certificate of "CN=server"` {
		t.Error(got)
	}
	if err := s.Apply(t.Context(), m); err == nil || string(get(t, m, pairPath)) != before {
		t.Errorf("%v; the old pair must stay", err)
	}
	put(t, m, "/etc/ssl/reg.key", 0o640, keyPEM(t, renewed))
	converge(t, m, s, "update: "+pairPath+" differs from /etc/ssl/reg.crt and /etc/ssl/reg.key")
	put(t, m, pairPath, 0o640, get(t, m, pairPath))
	converge(t, m, s, "update: "+pairPath+" has mode 0640, not 0600")

	// Both in one file.
	put(t, m, "/etc/ssl/both.pem", 0o600, append(certPEM(renewed, p.lower), keyPEM(t, renewed)...))
	converge(t, m, NewFilesPair("/etc/ssl/both.pem", "/etc/ssl/both.pem", PairFile{Path: pairPath}, []string{"reg.test"}, now), kept)
}

func TestFilesPairSurvivesCrashes(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	names := []string{"reg.test"}
	s := NewFilesPair("/etc/ssl/reg.crt", "/etc/ssl/reg.key", PairFile{Path: pairPath}, names, func() time.Time { return noon })
	pullAll(t, s, func(t *testing.T) host.Machine {
		m := newHost(t)
		for _, server := range []*party{issue(t, p.lower, "server", asServer), p.server} { // the second is what is to be done
			put(t, m, "/etc/ssl/reg.crt", 0o644, certPEM(server, p.lower))
			put(t, m, "/etc/ssl/reg.key", 0o600, keyPEM(t, server))
			if server != p.server {
				converge(t, m, s, "create: no file "+pairPath)
			}
		}
		return m
	}, pairIntact(names, noon))
}

func TestCheckFilesNamesTheFile(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for want, c := range map[string]struct {
		cert, key []byte
		mode      fs.FileMode
	}{
		"certificate /c: holds no certificate":                                         {keyPEM(t, p.server), keyPEM(t, p.server), 0o600},
		"certificate /c: holds no PEM block (a line -----BEGIN …-----)":                {p.server.cert.Raw, keyPEM(t, p.server), 0o600},
		"key /k: holds 0 private keys instead of one":                                  {certPEM(p.server), certPEM(p.server), 0o600},
		"key /k has mode 0644, everybody on this host can use it: chmod o= /k":         {certPEM(p.server), keyPEM(t, p.server), 0o644},
		`certificate /c with key /k: the key does not belong to the certificate of "C`: {certPEM(p.server), keyPEM(t, p.lower), 0o640},
	} {
		m := newHost(t)
		put(t, m, "/c", 0o644, c.cert)
		put(t, m, "/k", c.mode, c.key)
		if err := CheckFiles(m.Looker(), "/c", "/k", []string{"reg.test"}, noon); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestSigning(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	const cert, key, bundle = "/srv/auth/signing-ca.crt", "/srv/auth/signing-ca.key", "/srv/registry/signing-ca.crt"
	owner := host.Owner{UID: 101, GID: 101}
	s := NewSigning(cert, key, bundle, owner)
	if s.Name() != "signing-key" {
		t.Error(s.Name())
	}
	converge(t, m, s, "create: no signing CA "+cert)
	for path, want := range map[string]host.Info{
		cert: {Mode: 0o644}, bundle: {Mode: 0o644}, key: {Mode: 0o600, Owner: owner},
	} {
		info, err := m.Stat(path)
		if err != nil || info.Mode != want.Mode || info.Owner != want.Owner {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if _, err := tls.X509KeyPair(get(t, m, bundle), get(t, m, key)); err != nil {
		t.Error(err)
	}
	before := get(t, m, cert)
	put(t, m, key, 0o600, get(t, m, key))
	converge(t, m, s, "update: "+key+" belongs to user and group 0:0, not 101:101")
	put(t, m, bundle, 0o644, []byte("x"))
	converge(t, m, s, "update: "+bundle+" differs from "+cert)
	if _, err := m.Remove(bundle); err != nil {
		t.Fatal(err)
	}
	converge(t, m, s, "create: no file "+bundle)
	if string(get(t, m, cert)) != string(before) {
		t.Error("the CA was replaced")
	}
	if _, err := m.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := check(t, s, m.Looker()); got != "error: signing CA: "+cert+" has lost its key "+key+": restore the key, or remove the certificate to make a new CA" {
		t.Error(got)
	}
	if err := s.Apply(t.Context(), m); err == nil || string(get(t, m, cert)) != string(before) {
		t.Errorf("applied without the key: %v", err)
	}

	pullAll(t, s, func(t *testing.T) host.Machine { return newHost(t) }, func(l host.Looker) error {
		if found, err := host.Exists(l, bundle); err != nil || !found {
			return err
		}
		_, err := tls.X509KeyPair(get(t, l, bundle), get(t, l, key)) // the registry trusts nobody but the CA that is there
		return err
	})
}
