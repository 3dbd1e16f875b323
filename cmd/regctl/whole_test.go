package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"regctl/stack/stacktest"
)

const (
	wholeHost = "registry.test"
	wholeAuth = "auth.test"
)

// whole is one way to set a host up.
type whole struct {
	name  string
	flags []string
}

// TestWhole sets a host up and uses it from another one, in every way that
// there is to set one up. Nothing in it is a stand-in: the engines, nginx, the
// registry, the auth server and the clients are those that people have.
func TestWhole(t *testing.T) {
	s := newSite(t, wholeHost, wholeAuth)
	s.server.start()
	s.client.start()
	engine := s.server.engine.Host()
	images := fmt.Sprintf("nginx=%s,registry=%s,mongo=%s", stacktest.Nginx(t, engine), stacktest.Registry(t, engine), stacktest.Mongo(t, engine))
	for _, w := range []whole{
		{name: "images", flags: []string{"--images", images}},
		{name: "builtin", flags: []string{"--images", "builtin"}},
		{name: "two hosts", flags: []string{"--images", images, "--auth-host", wholeAuth}},
		{name: "mongo", flags: []string{"--images", images, "--store", "mongo"}},
	} {
		t.Run(w.name, func(t *testing.T) {
			s.t = t
			w.play(t, s)
		})
	}
}

// play is the life of an installation.
func (w whole) play(t *testing.T, s *site) {
	dir := filepath.Join(s.dir, strings.ReplaceAll(w.name, " ", "-"))
	flags := append([]string{
		"--dir", dir, "--host", wholeHost, "--email", "you@registry.test", "--tls", "local",
		"--firewall", "none", "--dhparams", "rfc7919", "--skip", "unit,packages", "--yes",
	}, w.flags...)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.server.try("sh", "-c", "docker ps -a; for c in $(docker ps -aq); do docker logs --tail 20 $c; done")
			t.Logf("the containers:\n%s", out)
		}
		s.server.regctl("reset", "--dir", dir, "--yes", "--purge")
	})

	all := s.expect(0, append([]string{"init"}, flags...)...)
	for _, proof := range []string{"redirect", "certificate", "challenge", "login", "push", "pull", "mount", "denied"} {
		if !regexp.MustCompile(`(?m)^  (ok +)?` + proof).MatchString(all) {
			t.Errorf("init does not tell of the proof %q", proof)
		}
	}
	if w.name == "builtin" {
		docsInit(t, strings.Join(flags[2:], " "), strings.NewReplacer(dir, defaultDir, s.dir, filepath.Dir(defaultDir)).Replace(all))
	}
	again := []string{"--dir", dir, "--skip", "unit,packages"}
	s.expect(0, append([]string{"plan"}, again...)...)
	if out := s.expect(0, append([]string{"apply", "--yes"}, again...)...); !strings.Contains(out, "0 changed") {
		t.Errorf("the second apply:\n%s", out)
	}
	all += s.expect(0, "status", "--dir", dir)
	w.useAsClient(t, s, dir)
	w.recreate(t, s, dir)
	w.restartEngine(t, s, dir)
	w.secretsAreHidden(t, s, dir, all)

	all = s.expect(0, "reset", "--dir", dir, "--yes")
	if out := s.server.do("docker", "ps", "--all", "--quiet"); out != "" {
		t.Errorf("containers after the reset:\n%s%s", all, out)
	}
	var plan []struct{ Step, Action string }
	if err := json.Unmarshal([]byte(s.expect(3, append([]string{"plan", "--output", "json"}, again...)...)), &plan); err != nil {
		t.Fatal(err)
	}
	for _, p := range plan {
		if want := p.Action == "create"; !want && (p.Step == "stack" || p.Step == "files") {
			t.Errorf("the plan after the reset: %s %s", p.Step, p.Action)
		}
	}
}

// useAsClient logs in, pushes and pulls on the other host, and may not push
// where it has no right.
func (w whole) useAsClient(t *testing.T, s *site, dir string) {
	ca := s.server.regctl("ca", "--dir", dir).stdout
	s.client.trust(wholeHost, ca)
	s.client.trust(wholeAuth, ca)
	password := s.server.regctl("user", "add", "waldi", "--dir", dir, "--generate", "--label", "full-access=test", "--label", "full-access=socke*").stdout
	if out, err := s.client.feed(password, "docker", "login", wholeHost, "--username", "waldi", "--password-stdin"); err != nil {
		t.Fatal(err)
	} else if !strings.Contains(out, "Login Succeeded") {
		t.Errorf("login: %s", out)
	}
	if out, err := s.client.feed("wrong", "docker", "login", wholeHost, "--username", "waldi", "--password-stdin"); err == nil {
		t.Errorf("login with a wrong password: %s", out)
	}
	if _, err := s.client.feed(password, "docker", "login", wholeHost, "--username", "waldi", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	s.client.do("docker", "load", "--input", s.testImage("app:1"))
	for _, c := range []struct {
		repository string
		denied     bool
	}{{"test", false}, {"socken-test", false}, {"test-socke", true}} {
		ref := wholeHost + "/" + c.repository + ":latest"
		s.client.do("docker", "tag", "app:1", ref)
		out, err := s.client.try("docker", "push", ref)
		if denied := err != nil && strings.Contains(out, "denied"); denied != c.denied || err != nil && !denied {
			t.Errorf("push %s: %s, %v", c.repository, out, err)
		}
		s.client.do("docker", "rmi", ref)
		if !c.denied {
			s.client.do("docker", "pull", ref)
		}
	}
}

// recreate takes the registry away in the middle of pushes: what comes after it
// is back succeeds.
func (w whole) recreate(t *testing.T, s *site, dir string) {
	ref := wholeHost + "/test:again"
	s.client.do("docker", "tag", "app:1", ref)
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		var last error
		for {
			select {
			case <-stop:
				done <- last
				return
			default:
				_, last = s.client.try("docker", "push", ref)
			}
		}
	}()
	s.server.do("docker", "rm", "--force", "regctl-registry-1")
	if out := s.expect(0, "apply", "--dir", dir, "--yes", "--skip", "unit,packages"); !strings.Contains(out, "registry") {
		t.Errorf("apply does not say that the registry was gone:\n%s", out)
	}
	if _, err := s.client.try("docker", "push", ref); err != nil {
		t.Errorf("a push after the registry is back: %v", err)
	}
	time.Sleep(time.Second) // some pushes more
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("the last push of the loop: %v", err)
	}
}

// restartEngine is what a reboot does to the containers.
func (w whole) restartEngine(t *testing.T, s *site, dir string) {
	s.server.engine.Stop()
	if r := s.server.regctl("status", "--dir", dir); r.code != codeUnhealthy {
		t.Errorf("status without an engine: exit %d\n%s", r.code, r.stdout)
	}
	s.server.engine.Start()
	s.expect(0, "status", "--dir", dir, "--wait", "90s")
	s.client.do("docker", "pull", wholeHost+"/test:latest")
}

// secretsAreHidden looks for every secret of the installation in what the
// programs say of it.
func (w whole) secretsAreHidden(t *testing.T, s *site, dir, said string) {
	said += s.server.do("sh", "-c", "docker inspect $(docker ps -aq); docker history --no-trunc $(docker images -q); for c in $(docker ps -aq); do docker logs $c 2>&1; done; ps axww")
	found := 0
	for _, pattern := range []string{"admin.password", "registry/http.secret", "auth/signing-ca.key", "certs/local-ca.key", "auth/mongo-password", "mongo/*password"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			secret := strings.TrimSpace(readText(t, file))
			if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
			}
			found++
			if strings.Contains(said, secret) {
				t.Errorf("the secret in %s is told", file)
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d secrets were found", found)
	}
}

// testImage is an archive of an image of two layers.
func (s *site) testImage(tag string) string {
	s.t.Helper()
	image, err := random.Image(1<<16, 2)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dir, "image.tar")
	ref, err := name.NewTag(tag)
	if err == nil {
		err = tarball.WriteToFile(path, ref, image)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

var initBlock = regexp.MustCompile("(?s)<!-- init -->\n```\n(.*?)```\n<!-- /init -->")

// docsInit keeps the README's transcript of init true. What it says of this host
// is shown, and not compared: the lines before the plan.
func docsInit(t *testing.T, flags, said string) {
	t.Helper()
	page := filepath.Join(repository, "README.md")
	text := readText(t, page)
	block := initBlock.FindStringSubmatch(text)
	if block == nil {
		t.Fatal("the README has no transcript of init")
	}
	now := "$ regctl init " + flags + "\n" + withoutProgress(said)
	if leveledInit(block[1]) == leveledInit(now) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Errorf("the README shows another transcript of init than this one; UPDATE=1 rewrites it:\n%s", now)
		return
	}
	sameText(t, page, strings.Replace(text, block[0], "<!-- init -->\n```\n"+now+"```\n<!-- /init -->", 1))
}

// withoutProgress leaves out the lines that only a slow run has.
func withoutProgress(said string) string {
	var b strings.Builder
	ended := regexp.MustCompile(`\] +(ok|changed|skipped) `)
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "[") || ended.MatchString(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func leveledInit(text string) string {
	_, text, _ = strings.Cut(text, "plan:\n")
	for name, varying := range map[string]*regexp.Regexp{
		"IMAGE": regexp.MustCompile(`regctl:[0-9a-f]{12}`),
		"TIME":  regexp.MustCompile(`\d+\.\ds`),
		"GUEST": regexp.MustCompile(`regctl-verify-[a-z0-9]{12}`),
		"SHA":   regexp.MustCompile(`sha256:[0-9a-f]+`),
		"CA":    regexp.MustCompile(`local CA [0-9a-f]{8}`),
		"DAYS":  regexp.MustCompile(`\d+ days`),
		"DATE":  regexp.MustCompile(`\d{4}-\d\d-\d\d`),
		" ":     regexp.MustCompile(` +`),
	} {
		text = varying.ReplaceAllString(text, name)
	}
	return text
}
