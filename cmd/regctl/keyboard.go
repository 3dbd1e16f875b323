package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// keyPause is how often, in milliseconds, a keyboard looks whether it is to stop.
const keyPause = 50

// keyboard reads the keys of a terminal until it is stopped. bubbletea left to
// read a file closes its reader while it may still be reading (v2.0.2, found by
// the race detector), and that reader can take a key which is meant for the next
// question.
type keyboard struct {
	tty    *os.File
	before *unix.Termios

	mu   sync.Mutex // held while reading
	quit chan struct{}
}

// newKeyboard makes the terminal pass on each key as it is pressed, and nothing
// but that: a line feed that is printed begins a line as before, which bubbletea
// counts on when it does not read the terminal itself.
func newKeyboard(tty *os.File) (*keyboard, error) {
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *before
	raw.Iflag &^= unix.BRKINT | unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ICANON | unix.IEXTEN | unix.ISIG
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	return &keyboard{tty: tty, before: before, quit: make(chan struct{})}, nil
}

// stop ends the reading and puts the terminal back as it was.
func (k *keyboard) stop() error {
	close(k.quit)
	k.mu.Lock()
	defer k.mu.Unlock()
	return unix.IoctlSetTermios(int(k.tty.Fd()), unix.TCSETS, k.before)
}

// Read implements [io.Reader].
func (k *keyboard) Read(keys []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		select {
		case <-k.quit:
			return 0, io.EOF
		default:
		}
		ready := []unix.PollFd{{Fd: int32(k.tty.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, keyPause)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return 0, os.NewSyscallError("poll", err)
		case n > 0:
			return k.tty.Read(keys)
		}
	}
}
