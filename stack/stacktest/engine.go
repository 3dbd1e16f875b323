package stacktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"
)

const (
	engineStart = 2 * time.Minute // on a busy machine
	engineStop  = time.Minute
)

// Engine is a Docker engine that a test has for itself.
type Engine struct {
	t         testing.TB
	dir       string
	namespace string
	binds     []string
	cmd       *exec.Cmd
	ended     chan struct{}
}

// StartEngine starts an engine in a network namespace (see [Namespace]), where
// it may do to packets what it likes. Binds are SOURCE:TARGET, files or
// directories that the engine sees instead of those that are there, such as a
// file for /etc/hosts. The engine is gone again when the test is over; its log
// is shown if the test has failed. It needs root and dockerd.
func StartEngine(t testing.TB, namespace string, binds ...string) *Engine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to start an engine")
	}
	need(t, "dockerd")
	sweepEngines(t)
	// Not t.TempDir: paths of unix sockets have 107 letters at most, and
	// containerd's are deep below this one.
	dir := filepath.Join(os.TempDir(), unique())
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, dir: dir, namespace: namespace, binds: binds}
	t.Cleanup(e.remove)
	e.Start()
	return e
}

// Host is the engine's address, for DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + filepath.Join(e.dir, "s") }

// Log is what the engine has said.
func (e *Engine) Log() string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return string(text)
}

// inPrivate mounts the binds where only this process and its children see it,
// and becomes the program. Mounts end with the last of these processes.
const inPrivate = `set -e
while [ "$1" != -- ]; do mount --bind "${1%%:*}" "${1#*:}"; shift; done
shift
exec "$@"`

// Start starts the engine again after [Engine.Stop].
func (e *Engine) Start() {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, "daemon.json"), []byte("{}"), 0o644); err != nil {
		e.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	argv := append([]string{"unshare", "--mount", "sh", "-c", inPrivate, "sh"}, e.binds...)
	argv = append(argv, "--", need(e.t, "dockerd"),
		"--config-file", filepath.Join(e.dir, "daemon.json"), // not the machine's
		"--host", e.Host(), "--pidfile", filepath.Join(e.dir, "pid"),
		"--data-root", filepath.Join(e.dir, "d"), "--exec-root", filepath.Join(e.dir, "e"))
	e.cmd = In(context.WithoutCancel(e.t.Context()), e.namespace, argv...) // Stop ends it
	e.cmd.Stdout, e.cmd.Stderr = log, log
	// Ctrl-C at the tests is not for the engine: it is stopped in order.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(e.cmd, e.ended)
	if err := e.await(); err != nil {
		e.t.Fatalf("starting an engine in %s: %v\n%s", e.namespace, err, tail(e.Log()))
	}
}

func (e *Engine) await() error {
	c, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer c.Close()
	over := time.After(engineStart)
	for {
		if _, err = c.Ping(e.t.Context()); err == nil {
			return nil
		}
		select {
		case <-e.ended:
			return errors.New("it has ended")
		case <-over:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop stops the engine as a shutdown of the machine does; its containers end.
func (e *Engine) Stop() {
	e.t.Helper()
	if e.cmd == nil || e.cmd.Process == nil {
		return
	}
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(engineStop):
		e.t.Errorf("the engine in %s does not stop\n%s", e.namespace, tail(e.Log()))
		syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
		<-e.ended
	}
}

// remove stops the engine and removes what it leaves.
func (e *Engine) remove() {
	e.Stop()
	if e.t.Failed() {
		e.t.Logf("log of the engine in %s:\n%s", e.namespace, tail(e.Log()))
	}
	if err := removeEngine(e.dir); err != nil {
		e.t.Errorf("removing an engine: %v", err)
	}
}

// sweepEngines ends and removes the engines of runs that were killed.
func sweepEngines(t testing.TB) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), ours+"*"))
	for _, dir := range left {
		if abandoned(dir) {
			t.Logf("removing an engine that a killed run has left: %v", removeEngine(dir))
		}
	}
}

// removeEngine ends whatever runs with dir in its arguments, which are the
// engine, its containerd and the shims of its containers, and removes dir.
func removeEngine(dir string) error {
	for range 3 { // who is killed may have started another
		for _, pid := range processesOf(dir) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// processesOf are the processes with an argument in dir.
func processesOf(dir string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && pid != os.Getpid() && strings.Contains(string(text), dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unmountBelow unmounts what is mounted in dir in our own mount namespace: an
// engine mounts in its own, so this is for safety before everything is removed.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmounting %s: %w", fields[1], err)
			}
		}
	}
	return nil
}

// tail is the end of a log.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
