package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock keeps other runs from changing the same installation. The kernel drops
// it (flock(2)) with its process. The file stays, for its removal would let two
// processes lock two files of one name.
type Lock struct{ file *os.File }

// holder is what the lock file says.
type holder struct {
	PID   int       `json:"pid"`
	What  string    `json:"what"`
	Since time.Time `json:"since"`
}

// LockedError says who holds the lock.
type LockedError struct {
	Dir string
	holder
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("another run is changing %s", e.Dir)
	}
	return fmt.Sprintf("regctl %s (process %d) is changing %s since %s", e.What, e.PID, e.Dir, e.Since.Format(time.TimeOnly))
}

// AcquireLock takes the lock of the installation in dir, which must exist, for
// the command what, or returns a [*LockedError] at once.
func AcquireLock(dir, what string, now time.Time) (*Lock, error) {
	file, err := os.OpenFile(Paths{dir}.lock(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer file.Close()
		locked := &LockedError{Dir: dir}
		// The holder may be about to write: whatever is there is only told.
		text, _ := io.ReadAll(io.LimitReader(file, 1024))
		_ = json.Unmarshal(text, &locked.holder)
		return nil, locked
	}
	if err == nil {
		err = note(file, holder{os.Getpid(), what, now})
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return &Lock{file}, nil
}

func note(file *os.File, h holder) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(text, 0)
	return err
}

// Release lets the next run begin.
func (l *Lock) Release() error { return l.file.Close() }
