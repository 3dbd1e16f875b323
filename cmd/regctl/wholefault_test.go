package main

import (
	"bufio"
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regctl/provision"
)

// faultFlags set up what is quickest: nothing but our own program is needed.
func faultFlags(dir string) []string {
	return []string{
		"--dir", dir, "--host", wholeHost, "--email", "you@registry.test", "--tls", "local", "--images", "builtin",
		"--firewall", "none", "--dhparams", "rfc7919", "--skip", "unit,packages", "--yes",
	}
}

// TestInitKilled ends init by SIGKILL after each of its steps, and at random times:
// apply then does the rest, and nothing half-made is left.
func TestInitKilled(t *testing.T) {
	s := newSite(t, wholeHost)
	s.server.start()
	dir := filepath.Join(s.dir, "i")
	for _, name := range provision.StepNames() {
		s.killInit(dir, func(line string) bool { return strings.Contains(line, " "+name+"]") }, 0)
	}
	s.converged(t, dir)
	for range 6 {
		s.expect(0, "reset", "--dir", dir, "--yes", "--purge")
		s.killInit(dir, nil, rand.N(6*time.Second))
		s.converged(t, dir)
	}
}

// killInit kills init when it prints a line that when accepts, or after a while.
func (s *site) killInit(dir string, when func(string) bool, after time.Duration) {
	s.t.Helper()
	cmd := s.server.inside(context.Background(), append([]string{s.program, "init"}, faultFlags(dir)...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	// The wrappers exec, so the process is regctl itself by now or soon.
	kill := func() { _ = cmd.Process.Signal(syscall.SIGKILL) }
	if when == nil {
		defer time.AfterFunc(after, kill).Stop()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if when != nil && when(lines.Text()) {
			kill()
		}
	}
	_ = cmd.Wait()
}

// converged wants apply to do the rest, and the installation to be clean.
func (s *site) converged(t *testing.T, dir string) {
	t.Helper()
	flags := []string{"--dir", dir, "--skip", "unit,packages"}
	if _, err := os.Stat(filepath.Join(dir, "regctl.yaml")); err != nil {
		s.expect(0, append([]string{"init"}, faultFlags(dir)...)...) // it was killed before it knew its settings
	} else {
		s.expect(0, append([]string{"apply", "--yes"}, flags...)...)
	}
	s.expect(0, append([]string{"plan"}, flags...)...)
	s.expect(0, "status", "--dir", dir, "--wait", "60s")
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	if out := s.server.do("docker", "ps", "--all", "--format", "{{.Names}}"); len(strings.Fields(out)) != 3 {
		t.Errorf("containers: %q", strings.Fields(out))
	}
}

// leftovers are temporary files in an installation.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var left []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".regctl-") {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// TestInitOnFullDisk has the disk full at several points of init: it says so, and
// apply does the rest when there is room.
func TestInitOnFullDisk(t *testing.T) {
	s := newSite(t, wholeHost)
	dir := filepath.Join(s.dir, "i")
	must(os.Mkdir(dir, 0o755))
	must(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2g"))
	t.Cleanup(func() { must(unix.Unmount(dir, unix.MNT_DETACH)) })
	s.server.start()
	ballast := filepath.Join(dir, "ballast")
	for _, free := range []int64{0, 8 << 10, 1 << 20} {
		fill(t, ballast, dir, free)
		r := s.server.regctl(append([]string{"init", "--ignore-preflight", "disk,existing"}, faultFlags(dir)...)...)
		if r.code != codeFailed || !strings.Contains(r.stderr, "no space left on device") {
			t.Errorf("with %d bytes free: exit %d\n%s%s", free, r.code, r.stdout, r.stderr)
		}
		must(os.Remove(ballast))
	}
	s.converged(t, dir)
	s.expect(0, "reset", "--dir", dir, "--yes")
}

// fill leaves about so many bytes free on dir's file system.
func fill(t *testing.T, ballast, dir string, free int64) {
	t.Helper()
	var fs unix.Statfs_t
	must(unix.Statfs(dir, &fs))
	size := int64(fs.Bavail)*fs.Bsize - free
	file, err := os.Create(ballast)
	if err == nil {
		err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	}
	if err != nil {
		t.Fatal(err)
	}
	must(file.Close())
}
