package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"regctl/provision"
	"regctl/provision/host"
	"regctl/provision/host/hosttest"
)

// screen is a terminal of 80 columns and 24 lines, kept by tmux. A test types
// and sees what a person sees.
type screen struct {
	t   *testing.T
	dir string // of the installation
	env []string
}

// wizardEnv is the environment of a host whose full name is
// Registry.Example.com.
func wizardEnv(t *testing.T, more ...string) []string {
	t.Helper()
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = -f ] && echo Registry.Example.com\n"
	if err := os.WriteFile(filepath.Join(bin, "hostname"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + bin, "LANG=C.UTF-8", "TMUX_TMPDIR=" + bin, "TERM=xterm-256color"}, more...)
}

// newScreen starts the questions of init on a new screen.
func newScreen(t *testing.T, dir string, args ...string) *screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: tmux is missing; to install it: .ci/tools")
	}
	s := &screen{t, dir, wizardEnv(t)}
	shown := `regctl-questions "$@" >out 2>err; echo "[exit $?]"; cat err; exec cat`
	s.tmux(append([]string{"-u", "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", dir, "--", "sh", "-c", shown, "sh", "--dir", dir}, args...)...)
	t.Cleanup(func() { s.tmux("kill-server") })
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// press presses keys by tmux's names for them; other words are typed.
func (s *screen) press(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, keys...)...)
}

// waitFor looks at the screen until it shows all texts.
func (s *screen) waitFor(texts ...string) {
	s.t.Helper()
	var shown string
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		shown = s.tmux("capture-pane", "-p")
		flat := strings.Join(strings.Fields(shown), " ")
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(flat, text)
		}
		if !missing {
			return
		}
	}
	errs, _ := os.ReadFile(filepath.Join(s.dir, "err"))
	s.t.Fatalf("the screen does not show %q but\n%s\nstderr:\n%s", texts, shown, errs)
}

// clear empties a field.
func (s *screen) clear() { s.press("C-u") }

func (s *screen) output() string { return readText(s.t, filepath.Join(s.dir, "out")) }

func TestWizardDefaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newScreen(t, dir)
	for i, title := range []string{"Public name of the registry", "Who issues its certificate", "E-mail address", "Firewall", "Database of users and rules", "Name of the first account"} {
		s.waitFor(title, fmt.Sprintf("(%d of 6)", i+1))
		s.press("Enter")
	}
	s.waitFor("[exit 0]")
	want := "regctl init --dir " + dir + " --host registry.example.com --tls local --email hostmaster@example.com\n" +
		"version: 1\nhost: registry.example.com\nemail: hostmaster@example.com\ntls:\n  mode: local\nfirewall:\n  backend: auto\nstore: sqlite\nadmin:\n  name: admin\n"
	if got := s.output(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestWizardAsksAgain(t *testing.T) {
	t.Parallel()
	s := newScreen(t, t.TempDir())
	s.waitFor("(1 of 6)", "registry.example.com")
	s.clear()
	s.press("https://reg.test", "Enter")
	s.waitFor("is a URL: give the host name alone, without https://")
	s.clear()
	s.press("reg", "Enter")
	s.waitFor("docker takes reg/app for a repository on Docker Hub")
	s.clear()
	s.press("Reg.Test", "Enter")

	s.waitFor("(2 of 6)", "> local")
	s.press("Down", "Enter")
	s.waitFor("tls.cert (--tls-cert): is missing", "(2 of 6)")
	s.press("Up", "Enter")

	s.waitFor("(3 of 6)", "hostmaster@reg.test") // follows the name
	s.clear()
	s.press("me", "Enter")
	s.waitFor("is no e-mail address")
	s.press("@example.com")
	s.waitFor("me@example.com")
	s.press("BTab") // back to the certificate, and on again
	s.waitFor("(2 of 6)")
	s.press("Enter")
	s.waitFor("(3 of 6)", "me@example.com")
	s.press("Enter")

	s.waitFor("(4 of 6)")
	s.press("Down", "Down", "Down", "Enter")
	s.waitFor("(5 of 6)")
	s.press("Enter")
	s.waitFor("(6 of 6)", "> admin")
	s.press(":x", "Enter")
	s.waitFor("a colon ends the user name in a login")
	s.press("BSpace", "BSpace", "Enter")
	s.waitFor("[exit 0]")
	if got := s.output(); !strings.Contains(got, " --host reg.test --tls local --email me@example.com --firewall none\n") {
		t.Error(got)
	}
}

// TestWizardRest: what flags or a file say is not asked, and what was saved is
// proposed.
func TestWizardRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "regctl.yaml")
	saved := "version: 1\nhost: saved.test\nemail: saved@example.com\ntls:\n  mode: local\nfirewall:\n  backend: none\nstore: mongo\nadmin:\n  name: boss\n"
	if err := os.WriteFile(file, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newScreen(t, dir, "--tls", "local", "--firewall", "none", "--hsts=false")
	for i, shows := range []string{"> saved.test", "> saved@example.com", "> mongo", "> boss"} {
		s.waitFor(shows, fmt.Sprintf("(%d of 4)", i+1))
		s.press("Enter")
	}
	s.waitFor("[exit 0]")
	if _, got, _ := strings.Cut(s.output(), "\n"); got != strings.Replace(saved, "mode: local\n", "mode: local\n  hsts: false\n", 1) {
		t.Errorf("saved settings became\n%s", got)
	}

	s = newScreen(t, t.TempDir(), "--config", file, "--admin", "me")
	s.waitFor("[exit 0]") // nothing is left to ask

	s = newScreen(t, t.TempDir(), "--store", "x", "--host", "x:1")
	s.waitFor("[exit 2]", "--store: \"x\": want sqlite or mongo", "--host: \"x:1\" has a port") // before any question
}

func TestWizardLeaves(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"Escape", "C-c"} {
		dir := t.TempDir()
		s := newScreen(t, dir)
		s.waitFor("(1 of 6)")
		s.press("Enter")
		s.waitFor("(2 of 6)")
		s.press(key)
		s.waitFor("[exit 130]", "regctl: error: interrupted: nothing was changed")
		s.press("typed", "Enter")
		s.waitFor("typed typed") // by the terminal and by cat: it is as it was
		if s.output() != "" {
			t.Error(s.output())
		}
	}
}

// atPTY runs the questions with a pseudo-terminal for stdin and stderr, and
// returns all that it shows until it ends.
func atPTY(t *testing.T, env []string, keys func(shown func(string), press func(string))) (stdout, screen string, code int) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("regctl-questions", "--dir", filepath.Join(t.TempDir(), "new"))
	cmd.Env, cmd.Stdout = env, &out
	person, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	var seen strings.Builder
	chunk := make([]byte, 4096)
	read := func() error {
		n, err := person.Read(chunk)
		seen.Write(chunk[:n])
		return err
	}
	watchdog := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	keys(func(text string) {
		for !strings.Contains(seen.String(), text) {
			if err := read(); err != nil {
				t.Fatalf("waiting for %q in %q: %v", text, seen.String(), err)
			}
		}
	}, func(text string) { io.WriteString(person, text) })
	for read() == nil {
	}
	cmd.Wait()
	return out.String(), seen.String(), cmd.ProcessState.ExitCode()
}

// TestWizardColor: colors unless NO_COLOR is set, and nothing but the result on
// standard output.
func TestWizardColor(t *testing.T) {
	t.Parallel()
	color := regexp.MustCompile(`\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38|48)[;m]`)
	for more, colored := range map[string]bool{"X=1": true, "NO_COLOR=1": false} {
		stdout, screen, code := atPTY(t, wizardEnv(t, more), func(shown, press func(string)) {
			shown("(1")
			press("\x03")
		})
		if code != codeInterrupted || stdout != "" {
			t.Errorf("%s: exit %d, %q", more, code, stdout)
		}
		if color.MatchString(screen) != colored {
			t.Errorf("%s: colored is %t in %q", more, !colored, screen)
		}
	}
}

// TestWizardDumbTerminal: a terminal that cannot show the wizard gets no half of it.
func TestWizardDumbTerminal(t *testing.T) {
	t.Parallel()
	stdout, screen, code := atPTY(t, append(wizardEnv(t), "TERM=dumb"), func(_, _ func(string)) {})
	if code != codeUsage || stdout != "" || !strings.Contains(screen, "regctl: error: missing --host and --tls\r\n") {
		t.Errorf("exit %d, %q, %q", code, stdout, screen)
	}
}

func TestGuesses(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Registry.Example.com\n":  "registry.example.com",
		"registry\n":              "",
		"localhost.localdomain\n": "",
		"192.0.2.1\n":             "",
		"\n":                      "",
	} {
		m := hosttest.New(t)
		m.Install("hostname", hosttest.Program{Look: hosttest.Always(hosttest.Reply{Stdout: name})})
		if got := guessHost(t.Context(), m.Looker(), provision.Config{}); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	m := hosttest.New(t)
	m.Install("hostname", hosttest.Program{Look: hosttest.Always(hosttest.Reply{Stderr: "hostname: Name or service not known", Exit: 1})})
	if got := guessHost(t.Context(), m.Looker(), provision.Config{}); got != "" {
		t.Errorf("of a failure: %q", got)
	}
	for name, want := range map[string]string{
		"registry.example.com": "hostmaster@example.com", "example.com": "hostmaster@example.com", "localhost": "", "": "",
	} {
		if got := guessEmail(t.Context(), host.Local{}.Looker(), provision.Config{Host: name}); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
