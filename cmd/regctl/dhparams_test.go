package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"regctl/certs"
	"regctl/provision"
	"regctl/provision/host"
	"regctl/provision/step"
)

// onWrite calls a function when something is written.
type onWrite struct {
	io.Writer
	call func()
}

func (w onWrite) Write(p []byte) (int, error) {
	w.call()
	return w.Writer.Write(p)
}

// runDHParams runs the command in dir, and counts how often the edge is
// reloaded.
func runDHParams(ctx context.Context, dir string, stderr io.Writer, args ...string) (code, reloads int) {
	e := &env{stdin: &bytes.Buffer{}, stdout: io.Discard, stderr: stderr, now: time.Now}
	cmd := newDHParamsCmd(e, func(provision.Config, provision.Paths) certs.Reload {
		return func(context.Context, host.Machine) error { reloads++; return nil }
	})
	cmd.SetArgs(append(args, "--dir", dir))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return e.report(cmd.ExecuteContext(ctx)), reloads
}

// newOwnGroup makes a directory whose installation wants an own group.
func newOwnGroup(t *testing.T) (string, provision.Paths) {
	t.Helper()
	dir := t.TempDir()
	paths := provision.Paths{Dir: dir}
	if err := os.MkdirAll(paths.Live(), 0o755); err != nil {
		t.Fatal(err)
	}
	config := "version: 1\nhost: reg.test\ntls: {mode: local, dhparams: own}\n"
	if err := os.WriteFile(paths.Config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, paths
}

func TestDHParamsCommand(t *testing.T) {
	t.Parallel()
	dir, paths := newOwnGroup(t)
	// Shortly before a hit: the search ends within seconds.
	near := readText(t, filepath.Join(repository, "certs", "testdata", "near2048.json"))
	if err := os.WriteFile(paths.DHState(), []byte(near), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code, reloads := runDHParams(t.Context(), dir, &stderr, "--bits", "2048")
	if code != codeDone || reloads != 1 {
		t.Fatalf("exit %d, %d reloads\n%s", code, reloads, &stderr)
	}
	group, err := certs.ParseDH([]byte(readText(t, paths.DHParams())))
	if err != nil || group.P.BitLen() != 2048 || certs.CheckDH(group) != nil || group.WellKnown() {
		t.Errorf("the group: %v, %v", group, err)
	}
	if _, err := os.Stat(paths.DHState()); !os.IsNotExist(err) {
		t.Errorf("the state is left: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if first, last := lines[0], lines[len(lines)-1]; !strings.HasPrefix(first, "own 2048-bit group: 0 tested in ") ||
		last != "own 2048-bit group in "+paths.DHParams()+": loaded" || strings.Contains(stderr.String(), "\r") {
		t.Errorf("printed\n%s", &stderr)
	}
}

func TestDHParamsCommandIsInterrupted(t *testing.T) {
	t.Parallel()
	dir, paths := newOwnGroup(t)
	interrupted := func(args ...string) string {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var stderr bytes.Buffer
		code, reloads := runDHParams(ctx, dir, onWrite{&stderr, stop}, args...)
		want := "regctl: error: interrupted\nregctl: hint: go on with the search: regctl dhparams --dir " + dir + "\n"
		if code != codeInterrupted || reloads != 0 || !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("exit %d, %d reloads\n%s", code, reloads, &stderr)
		}
		_, start, ok := strings.Cut(readText(t, paths.DHState()), `"start":`)
		if !ok {
			t.Error("no start in the state")
		}
		start, _, _ = strings.Cut(start, ",")
		return start
	}
	first := interrupted()
	if interrupted() != first {
		t.Error("the second search did not go on with the first")
	}
	if interrupted("--restart") == first {
		t.Error("--restart went on with the first")
	}
	if _, err := os.Stat(paths.DHParams()); !os.IsNotExist(err) {
		t.Errorf("a group was written: %v", err)
	}
}

// On a terminal the progress is one line, which is gone in the end.
func TestLiveLineOnATerminal(t *testing.T) {
	t.Parallel()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 10}); err != nil {
		t.Fatal(err)
	}
	line := newLiveLine(&env{stderr: tty})
	line.show(step.Progress{Text: "one"})
	line.show(step.Progress{Text: "äüöäüöäüöäüö"})
	line.end()
	line.end()
	tty.Close()
	shown, _ := io.ReadAll(master) // ends with EIO: nobody has the terminal open
	if want := "\r\x1b[Kone\r\x1b[Käüöäüöäüö\r\x1b[K"; string(shown) != want {
		t.Errorf("got %q, want %q", shown, want)
	}
}
