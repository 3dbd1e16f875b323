package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is in the error of OpenSQLite when another process, or another
// store of this one, has the database open.
var ErrLocked = errors.New("in use")

// lockFile takes the exclusive lock of path and leaves the holder's process id
// in the file for whoever comes second. The lock ends when the file is closed,
// so also with the process (flock(2)). The file stays: removing it would let
// two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("%w by process %s, which holds %s", ErrLocked, strings.TrimSpace(string(holder)), path)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unlockFile ends the lock before it closes the file: a child process between
// fork and exec still shares the file, and would keep the lock for that time.
// Unlocking again does nothing.
func unlockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_UN)
	closeErr := f.Close()
	if errors.Is(closeErr, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, closeErr)
}
