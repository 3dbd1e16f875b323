package provision

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 12, 1, 8, 30, 0, 0, time.UTC)
	lock, err := AcquireLock(dir, "apply", now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = AcquireLock(dir, "reset", now)
	var held *LockedError
	want := fmt.Sprintf("regctl apply (process %d) is changing %s since 08:30:00", os.Getpid(), dir)
	if !errors.As(err, &held) || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if lock, err = AcquireLock(dir, "reset", now); err != nil {
		t.Fatal(err)
	}
	lock.Release()
	if _, err := AcquireLock(dir+"/none", "apply", now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
