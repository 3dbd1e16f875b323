package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal; the test sits at its keyboard and screen.
type terminal struct {
	*os.File
	t      *testing.T
	path   string
	screen strings.Builder
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tt := &terminal{File: master, t: t, path: fmt.Sprintf("/dev/pts/%d", n)}
	keep, err := tt.open() // the screen goes dark when the last one closes it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keep.Close() })
	return tt
}

func (tt *terminal) open() (*os.File, error) { return os.OpenFile(tt.path, os.O_RDWR|unix.O_NOCTTY, 0) }

// waitFor reads the screen until it ends with text.
func (tt *terminal) waitFor(text string) {
	tt.t.Helper()
	var b [1]byte
	for !strings.HasSuffix(tt.screen.String(), text) {
		if _, err := tt.Read(b[:]); err != nil {
			tt.t.Fatalf("waiting for %q after %q: %v", text, tt.screen.String(), err)
		}
		tt.screen.Write(b[:])
	}
}

// waitForNoEcho returns when typing is not shown, a moment after the question.
func (tt *terminal) waitForNoEcho() {
	tt.t.Helper()
	for tt.echoes() {
		time.Sleep(time.Millisecond)
	}
}

func (tt *terminal) echoes() bool {
	tt.t.Helper()
	f, err := tt.open()
	if err != nil {
		tt.t.Fatal(err)
	}
	defer f.Close()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		tt.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// atTerminal runs a command with a person at a terminal; done gets its exit
// code.
func (s *testServer) atTerminal(ctx context.Context, tt *terminal, errs *bytes.Buffer, args ...string) (done chan int) {
	done = make(chan int, 1)
	e := &env{stdin: tt, stdout: errs, stderr: errs, interactive: true, openTerminal: tt.open, now: time.Now}
	go func() { done <- run(ctx, append(args, "--dir", s.dir), e) }()
	return done
}

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	s, tt := newTestServer(t), newTerminal(t)
	var errs bytes.Buffer
	done := s.atTerminal(t.Context(), tt, &errs, "user", "passwd", "admin")
	for _, question := range []string{"New password for admin: ", "The same again: "} {
		tt.waitFor(question)
		tt.waitForNoEcho()
		fmt.Fprint(tt, "hush-hush\n")
	}
	if code := <-done; code != 0 || errs.String() != "password of admin changed\n" {
		t.Errorf("exit %d, %s", code, errs.String())
	}
	fmt.Fprintln(tt, "end")
	tt.waitFor("end")
	if strings.Contains(tt.screen.String(), "hush") {
		t.Errorf("the screen shows %q", tt.screen.String())
	}
}

func TestInterruptedQuestion(t *testing.T) {
	t.Parallel()
	s, tt := newTestServer(t), newTerminal(t)
	before := s.State().Users["admin"].PasswordHash
	ctx, interrupt := context.WithCancel(t.Context())
	var errs bytes.Buffer
	done := s.atTerminal(ctx, tt, &errs, "user", "passwd", "admin")
	tt.waitFor("New password for admin: ")
	tt.waitForNoEcho()
	interrupt()
	if code := <-done; code != codeInterrupted || errs.String() != "regctl: error: interrupted\n" {
		t.Errorf("exit %d, %s", code, errs.String())
	}
	if !tt.echoes() {
		t.Error("the terminal is left without echo")
	}
	if s.State().Users["admin"].PasswordHash != before {
		t.Error("the password has changed")
	}
}
