package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"regctl/provision"
	"regctl/provision/host"
	"regctl/stack"
)

// env is what a command sees of the world. Results go to stdout, one thing per
// run; notes to the person go to stderr.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// interactive says that a person is there to be asked: stdin is a terminal.
	interactive bool
	// live says that lines on stdout can be rewritten: it is a terminal.
	live bool
	// openTerminal opens the terminal for questions, whatever stdin and stdout
	// are connected to.
	openTerminal func() (*os.File, error)
	// machine is the host that is set up.
	machine host.Machine
	// now tells the time in the zone of dates that name none.
	now func() time.Time
}

func systemEnv() *env {
	return &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		interactive:  term.IsTerminal(int(os.Stdin.Fd())),
		live:         term.IsTerminal(int(os.Stdout.Fd())),
		openTerminal: func() (*os.File, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) },
		machine:      host.Local{},
		now:          time.Now,
	}
}

// note tells the person what was done.
func (e *env) note(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }

// ground is what installations are made with.
func (e *env) ground(ctx context.Context) (provision.Ground, error) {
	engine, err := stack.Connect(ctx)
	if err != nil {
		return provision.Ground{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return provision.Ground{}, err
	}
	return provision.Ground{Engine: engine, Program: program, DockerHost: os.Getenv("DOCKER_HOST"), Now: e.now}, nil
}
