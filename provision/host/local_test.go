package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"

	"golang.org/x/sys/unix"
)

var local host.Local

func TestBehaviour(t *testing.T) {
	t.Parallel()
	hosttest.Behaviour(t, func(t *testing.T) (host.Machine, string) { return local, t.TempDir() })
}

func TestOddFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, link, target := dir+"/pipe", dir+"/link", dir+"/target"
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.WriteFile(target, []byte("x"), 0o640), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if f, err := local.ReadFile(link); err != nil || string(f.Content) != "x" || f.Mode.Perm() != 0o640 {
		t.Errorf("reading through a link: %q %v, %v", f.Content, f.Mode, err)
	}
	if info, err := local.Stat(link); err != nil || info.Mode.Type() != fs.ModeSymlink {
		t.Errorf("stat of a link: %v, %v", info, err)
	}
	if _, err := local.ReadFile(pipe); err == nil {
		t.Error("reading a pipe: no error")
	}
	for _, path := range []string{pipe, link} {
		if _, err := local.WriteFile(path, host.File{Content: []byte("y"), Mode: 0o644}); err == nil {
			t.Errorf("writing %s: no error", path)
		}
	}
	if err := local.CreateSecret(link, host.NewSecret("y"), host.Owner{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a secret in place of a link: %v", err)
	}
	if b, _ := os.ReadFile(target); string(b) != "x" {
		t.Errorf("the link's target is %q", b)
	}
	if f, err := local.ReadFile("/proc/self/status"); err != nil || len(f.Content) == 0 {
		t.Errorf("reading a file that says it is empty: %d bytes, %v", len(f.Content), err)
	}
	big := dir + "/big"
	if err := errors.Join(os.WriteFile(big, nil, 0o600), os.Truncate(big, host.MaxFile+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := local.ReadFile(big); err == nil {
		t.Error("reading more than MaxFile: no error")
	}
}

func TestUnchangedFileIsNotTouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	f := host.File{Content: []byte("x"), Mode: 0o600}
	if _, err := local.WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	if _, err := local.WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) || before.ModTime() != after.ModTime() {
		t.Error("the file was replaced")
	}
}

func TestCommandEnvironment(t *testing.T) {
	t.Setenv("REGCTL_PASSWORD", "hunter2") // so not parallel
	out, err := local.Look(t.Context(), host.Cmd{
		Argv:      []string{"env"},
		Env:       map[string]string{"PLAIN": "1"},
		SecretEnv: map[string]host.Secret{"SECRET": host.NewSecret("s3cret")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[bool][]string{true: {"LC_ALL=C\n", "PATH=", "PLAIN=1\n", "SECRET=s3cret\n"}, false: {"hunter2"}} {
		for _, s := range text {
			if strings.Contains(out, s) != want {
				t.Errorf("environment contains %q: want %t\n%s", s, want, out)
			}
		}
	}
}

func TestCommandFailures(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"no-such-program-anywhere", "/no/such/program"} {
		_, err := local.Run(t.Context(), host.Command(program, "x"))
		if !errors.Is(err, host.ErrNoProgram) || host.ExitStatus(err) != -1 || !strings.Contains(err.Error(), program) {
			t.Errorf("%s: %v", program, err)
		}
	}
	_, err := local.Run(t.Context(), host.Command("sh", "-c", "echo one; echo two >&2; exit 7"))
	if host.ExitStatus(err) != 7 || !strings.Contains(err.Error(), "exit status 7\n") ||
		!strings.Contains(err.Error(), "\none") || !strings.Contains(err.Error(), "\ntwo") {
		t.Errorf("the whole output: %v", err)
	}
	out, err := local.Run(t.Context(), host.Command("sh", "-c", "echo one; echo two >&2"))
	if out != "one\n" || err != nil {
		t.Errorf("standard output alone: %q, %v", out, err)
	}
	if _, err := local.Run(t.Context(), host.Command("yes")); err == nil || !strings.Contains(err.Error(), "bytes of output") {
		t.Errorf("endless output: %.100v", err)
	}
	if got := host.ExitStatus(nil); got != 0 {
		t.Errorf("ExitStatus(nil) = %d", got)
	}
}

// TestCancelEndsChildren has a command start a child of its own that holds a
// pipe open: the pipe ends when both are gone.
func TestCancelEndsChildren(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := local.Run(ctx, host.Command("sh", "-c", `(echo up; exec sleep 600) > "$1" & wait`, "sh", pipe))
		done <- err
	}()
	r, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the command says %v", err)
	}
	if rest, err := lines.ReadString('\n'); rest != "" {
		t.Errorf("the child wrote %q, %v", rest, err)
	}
}

// writerEnv makes the test binary a program that writes one file for ever.
const writerEnv = "REGCTL_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

// version is a file whose every part says which version it is of.
func version(n int) host.File {
	return host.File{Content: []byte(strings.Repeat(fmt.Sprintf("%08d\n", n), 1<<15)), Mode: 0o640}
}

func writeForEver(path string) {
	for n := range 1 << 20 {
		if _, err := local.WriteFile(path, version(n%7)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

// TestKill kills a process that does nothing but write a file, again and
// again, and finds one whole version each time, and no remains after the
// next write.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	whole := map[string]bool{}
	for n := range 7 {
		whole[string(version(n).Content)] = true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	remains := 0
	for round := range 60 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		// After a different number of writes each time; where in the next
		// write the signal arrives is chance.
		lines := bufio.NewScanner(out)
		for range 1 + round%5 {
			lines.Scan()
		}
		cmd.Process.Kill()
		for lines.Scan() {
		}
		if err := cmd.Wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the writer was not killed: %v", err)
		}
		f, err := local.ReadFile(path)
		if err != nil || f.Mode != 0o640 || !whole[string(f.Content)] {
			t.Fatalf("round %d: %d bytes, mode %v, %v: not a whole version", round, len(f.Content), f.Mode, err)
		}
		remains += len(names(t, dir)) - 1
	}
	t.Logf("found temporary files after %d of 60 kills", remains)
	if _, err := local.WriteFile(path, version(100)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("after the next write there is %q", got)
	}
}

// TestLeftovers is the certain case of what TestKill finds by chance.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{".f.regctl-1", ".f.regctl-2", ".g.regctl-1", ".f.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := local.CreateSecret(dir+"/f", host.NewSecret("x"), host.Owner{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, dir), " "); got != ".f.conf .g.regctl-1 f" {
		t.Errorf("left: %s", got)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("a small file system can only be mounted by root")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "f")
	old := host.File{Content: []byte("old"), Mode: 0o644}
	if _, err := local.WriteFile(path, old); err != nil {
		t.Fatal(err)
	}
	_, err := local.WriteFile(path, host.File{Content: make([]byte, 1<<20), Mode: 0o644})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("writing more than fits: %v", err)
	}
	err = local.CreateSecret(filepath.Join(dir, "s"), host.NewSecret(strings.Repeat("x", 1<<20)), host.Owner{})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a secret larger than fits: %v", err)
	}
	if f, err := local.ReadFile(path); err != nil || string(f.Content) != "old" {
		t.Errorf("the old file is %d bytes, %v", len(f.Content), err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("there is %q", got)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
