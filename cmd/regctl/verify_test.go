package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"regctl/provision"
)

// installed is a served registry with TLS, a redirect to it, and a regctl.yaml
// that says so.
func installed(t *testing.T) *served {
	t.Helper()
	s := serve(t, filepath.Join(t.TempDir(), "srv"), "--tls", "--host", "reg.test")
	_, port, err := net.SplitHostPort(s.at().Address)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	redirect := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://reg.test:"+port+r.URL.RequestURI(), http.StatusMovedPermanently)
	})}
	go redirect.Serve(plain)
	t.Cleanup(func() { redirect.Close() })
	s.configure(plain.Addr(), port)
	return s
}

// configure writes the installation's regctl.yaml.
func (s *served) configure(http net.Addr, httpsPort string) {
	s.t.Helper()
	text := fmt.Sprintf(`version: 1
name: regctl-test-of-nothing
host: reg.test
tls: {mode: local, hsts: false}
edge: {http_port: %d, https_port: %s}
`, http.(*net.TCPAddr).Port, httpsPort)
	if err := os.WriteFile(provision.Paths{Dir: s.dir}.Config(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	s := installed(t)
	for range 2 {
		r := s.command("", "verify")
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if r.code != codeDone || len(lines) != 9 || r.stderr != "reg.test does not resolve on this host: using 127.0.0.1 instead\n" {
			t.Fatalf("%+v\n%s", r, &s.stderr)
		}
		for i, name := range []string{"redirect", "certificate", "challenge", "login", "push", "pull", "mount", "denied", "clean-up"} {
			if !regexp.MustCompile(`^ok  ` + name + ` +[0-9.µms]+ +\S`).MatchString(lines[i]) {
				t.Errorf("line %d: %q", i, lines[i])
			}
		}
	}
	r := s.command("", "verify", "--address", "127.0.0.1", "-o", "json")
	var proofs []provision.Proof
	if err := json.Unmarshal([]byte(r.stdout), &proofs); err != nil || len(proofs) != 9 || !proofs[8].OK || r.stderr != "" {
		t.Errorf("%v, %+v", err, r)
	}
	if users := s.command("", "user", "list", "-o", "json"); strings.Contains(users.stdout, "regctl-verify") {
		t.Errorf("left: %s", users.stdout)
	}
}

func TestVerifyCommandFails(t *testing.T) {
	t.Parallel()
	s := installed(t)
	config := provision.Paths{Dir: s.dir}.Config()
	text := readText(t, config)
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(text, "hsts: false", "hsts: true", 1))
	r := s.command("", "verify")
	if r.code != codeUnhealthy || !strings.Contains(r.stdout, "FAIL  challenge ") || strings.Contains(r.stdout, "login") ||
		!strings.Contains(r.stderr, "regctl: error: challenge: the answer has no Strict-Transport-Security") {
		t.Errorf("%+v", r)
	}
	write(strings.Replace(text, "mode: local", "mode: files", 1))
	r = s.command("", "verify")
	if r.code != codeUnhealthy || !strings.Contains(r.stderr, "regctl: hint: this host trusts nobody who signed it") {
		t.Errorf("%+v", r)
	}
	for want, text := range map[string]string{"unknown key nonsense": text + "nonsense: 1\n", "version: is 9": "version: 9\n", "the file is empty": ""} {
		write(text)
		for _, command := range []string{"verify", "status"} {
			if r := s.command("", command); r.code != codeUsage || r.stdout != "" || !strings.Contains(r.stderr, want) {
				t.Errorf("%s: %+v, want %s", command, r, want)
			}
		}
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if r := s.command("", "verify"); r.code != codeUsage || !strings.Contains(r.stderr, "regctl init") {
		t.Errorf("%+v", r)
	}
}

// An interrupted verification says so, and not that something is wrong.
func TestVerifyCommandInterrupted(t *testing.T) {
	t.Parallel()
	s := installed(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(s.at().Address)
	s.configure(silent.Addr(), port)
	cmd := exec.Command("regctl", "verify", "--dir", s.dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != codeInterrupted || !strings.HasSuffix(errs.String(), "regctl: error: interrupted\n") {
		t.Errorf("exit %d: %s", code, &errs)
	}
}

// With a regctl.yaml the parts are containers.
func TestStatusOfContainers(t *testing.T) {
	t.Parallel()
	s := installed(t)
	status := func(engine string, args ...string) result {
		var r result
		var out, errs bytes.Buffer
		cmd := exec.Command("regctl", append([]string{"status", "--dir", s.dir}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+engine)
		_ = cmd.Run()
		r.code, r.stdout, r.stderr = cmd.ProcessState.ExitCode(), out.String(), errs.String()
		return r
	}
	dead := "unix://" + filepath.Join(s.dir, "no-engine.sock")
	r := status(dead)
	if r.code != codeUnhealthy || r.stderr != "" ||
		!regexp.MustCompile(`(?m)^FAIL  engine +\S.*\n +→ start it: systemctl start docker$`).MatchString(r.stdout) ||
		strings.Count(r.stdout, "not checked: engine is failing") != 9 || strings.Count(r.stdout, "\nSKIP  ") != 9 || !strings.Contains(r.stdout, "\nok    clock ") {
		t.Errorf("%+v", r)
	}
	if r = status(dead, "--quiet"); r.code != codeUnhealthy || strings.Contains(r.stdout, "SKIP") || strings.Contains(r.stdout, "ok ") || !strings.HasPrefix(r.stdout, "FAIL  engine ") {
		t.Errorf("%+v", r)
	}
	var results []provision.CheckResult
	if r = status(dead, "-o", "json"); json.Unmarshal([]byte(r.stdout), &results) != nil || len(results) != 13 || !results[1].Skipped || results[1].OK {
		t.Errorf("%+v", r)
	}

	// An engine that answers, as far as it is asked.
	engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("API-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/containers/json") && strings.Contains(r.URL.Query().Get("filters"), "com.docker.compose.project=regctl-test-of-nothing"):
			fmt.Fprintf(w, `[{"Id":"0123456789abcdef","Labels":{"com.docker.compose.project.working_dir":%q}}]`, s.dir)
		case strings.HasSuffix(r.URL.Path, "/containers/0123456789abcdef/json"):
			fmt.Fprint(w, `{"Id":"0123456789abcdef","State":{"Status":"running","Running":true,"Health":{"Status":"starting"}},"Config":{"Image":"mongo","Labels":{"com.docker.compose.service":"mongo"}},
				"NetworkSettings":{"Ports":{"27017/tcp":[{"HostIp":"0.0.0.0","HostPort":"27017"}],"80/tcp":null}}}`)
		default:
			http.NotFound(w, r)
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go engine.Serve(l)
	t.Cleanup(func() { engine.Close() })
	r = status("tcp://" + l.Addr().String())
	for _, want := range []string{`(?m)^ok    engine +containers: 1$`, `(?m)^FAIL  containers +auth is missing, nginx is missing, registry is missing, mongo is starting$`,
		`(?m)^FAIL  ports +mongo publishes 0\.0\.0\.0:27017, around the firewall$`, `(?m)^ok    redirect `} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("no %s in\n%s", want, r.stdout)
		}
	}
}

// Quiet and well: nothing is printed.
func TestStatusQuiet(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "srv"))
	if r := s.command("", "status", "--quiet"); r.code != codeDone || r.stdout != "" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if r := s.command("", "status", "-q", "-o", "json"); r.code != codeDone || r.stdout != "[]\n" {
		t.Errorf("%+v", r)
	}
	s.stop()
	if r := s.command("", "status", "--quiet"); r.code != codeUnhealthy || !strings.HasPrefix(r.stdout, "FAIL  auth server ") || strings.Contains(r.stdout, "storage") {
		t.Errorf("%+v", r)
	}
}
