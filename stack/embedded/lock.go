package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock keeps other processes from serving the same installation.
type Lock struct{ file *os.File }

// LockedError says that another process serves the installation.
type LockedError struct {
	Dir string
	PID int // of the holder, 0 if unknown
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("another process is serving %s", e.Dir)
	}
	return fmt.Sprintf("process %d is serving %s already", e.PID, e.Dir)
}

// AcquireLock takes Dir/run/serve.lock, or returns a *LockedError at once. The
// kernel drops the lock (flock(2)) with its process; the file stays, for its
// removal would let two processes lock two files of one name.
func AcquireLock(dir string) (*Lock, error) {
	run := filepath.Join(dir, "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil, fmt.Errorf("making the installation's directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(run, "serve.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	lock := &Lock{file}
	if err := lock.take(dir); err != nil {
		file.Close()
		return nil, err
	}
	return lock, nil
}

func (l *Lock) take(dir string) error {
	err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(l.file, 32))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return &LockedError{Dir: dir, PID: pid}
	}
	if err == nil {
		err = l.file.Truncate(0)
	}
	if err == nil {
		_, err = l.file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", l.file.Name(), err)
	}
	return nil
}

// Release lets the next process serve.
func (l *Lock) Release() error { return l.file.Close() }
