package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// inherited are the variables of regctl's environment that commands see. The
// proxies are there for apt and its like.
func inherited() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// run runs c, holds its output back, and returns what it printed to standard
// output. When ctx ends, so does everything the command has started.
func run(ctx context.Context, c Cmd) (string, error) {
	if len(c.Argv) == 0 {
		return "", errors.New("running a command: no program is named")
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = inherited()
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	for k, v := range c.SecretEnv {
		cmd.Env = append(cmd.Env, k+"="+v.Reveal())
	}
	cmd.Stdin = strings.NewReader(c.Stdin.Reveal())
	var out output
	cmd.Stdout, cmd.Stderr = stdout{&out}, &out
	// A group of its own, so that the signal also reaches its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopTime

	err := cmd.Run()
	if err == nil {
		return out.stdout.String(), nil
	}
	return "", NewCmdError(c, cmd.ProcessState.ExitCode(), out.all.String(), cause(ctx, &out, err))
}

// cause says why a command failed in the terms of this package.
func cause(ctx context.Context, out *output, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if out.full {
		return errTooMuch // rather than the broken pipe this was to the program
	}
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoProgram // what exec says of an absolute path
	}
	return err
}

// output collects what a command prints: all of it, and standard output on its
// own. They are two pipes, so the order between them is not exact.
type output struct {
	mu     sync.Mutex
	all    strings.Builder
	stdout strings.Builder
	full   bool
}

var errTooMuch = fmt.Errorf("more than %d bytes of output", MaxOutput)

// Write takes what comes from standard error.
func (o *output) Write(p []byte) (int, error) { return o.write(p, nil) }

func (o *output) write(p []byte, also *strings.Builder) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all.Len()+len(p) > MaxOutput {
		o.full = true
		return 0, errTooMuch
	}
	o.all.Write(p)
	if also != nil {
		also.Write(p)
	}
	return len(p), nil
}

// stdout takes what comes from standard output.
type stdout struct{ *output }

func (s stdout) Write(p []byte) (int, error) { return s.write(p, &s.stdout) }
