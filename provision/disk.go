package provision

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// lowDisk and lowInodes are the parts of a file system, in percent, below
// which pushes are about to fail.
const lowDisk, lowInodes = 5, 5

// diskOf looks at the file systems of dirs: they may be several.
func diskOf(dirs ...string) (string, error) {
	least := math.Inf(1)
	for _, dir := range dirs {
		free, err := freeSpace(dir)
		if err != nil {
			return "", err
		}
		least = min(least, free)
	}
	return fmt.Sprintf("%.1f GiB free", least), nil
}

// freeSpace returns the GiB that are free on dir's file system, or an error if
// that is too little.
func freeSpace(dir string) (float64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30)
	switch {
	case fs.Blocks > 0 && fs.Bavail*100/fs.Blocks < lowDisk:
		return 0, fmt.Errorf("%s: %.1f GiB free, less than %d %%", dir, free, lowDisk)
	case fs.Files > 0 && fs.Ffree*100/fs.Files < lowInodes:
		return 0, fmt.Errorf("%s: %d inodes free, less than %d %%", dir, fs.Ffree, lowInodes)
	}
	return free, nil
}
