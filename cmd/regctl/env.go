package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// env is what a command sees of the world. Results go to stdout, one thing per
// run; notes to the person go to stderr.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// interactive says that a person is there to be asked: stdin is a terminal.
	interactive bool
	// openTerminal opens the terminal for questions, whatever stdin and stdout
	// are connected to.
	openTerminal func() (*os.File, error)
	// now tells the time in the zone of dates that name none.
	now func() time.Time
}

func systemEnv() *env {
	return &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		interactive:  term.IsTerminal(int(os.Stdin.Fd())),
		openTerminal: func() (*os.File, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) },
		now:          time.Now,
	}
}

// note tells the person what was done.
func (e *env) note(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
