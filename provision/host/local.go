package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Local is the machine regctl runs on.
//
// Its commands inherit PATH, HOME, TMPDIR and the proxy variables, and run in
// the C locale because steps read what they print; the rest of regctl's
// environment, where passwords may be, stays with regctl.
type Local struct{ local }

// Looker returns the machine for reading alone.
func (Local) Looker() Looker { return local{} }

// Run implements [Machine].
func (Local) Run(ctx context.Context, c Cmd) (string, error) { return run(ctx, c) }

// local is the half of Local that reads. It is a type of its own so that a
// Looker of the local machine has no other methods to be asserted to.
type local struct{}

func (local) Look(ctx context.Context, c Cmd) (string, error) { return run(ctx, c) }

func (local) Stat(path string) (Info, error) {
	if err := ValidPath(path); err != nil {
		return Info{}, err
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: fi.Mode(), Size: fi.Size(), Owner: ownerOf(fi)}, nil
}

func (local) ReadDir(path string) ([]string, error) {
	if err := ValidPath(path); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path) // sorted
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (local) Digest(path string) (string, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(f)
}

func digest(r io.Reader) (string, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, r)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// openRegular opens a regular file for reading.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	if err := ValidPath(path); err != nil {
		return nil, nil, err
	}
	// Not blocking, because opening a pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("reading %s: %w", path, notRegular(fi.Mode()))
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, fi, nil
}

func (local) ReadFile(path string) (File, error) {
	f, fi, err := openRegular(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	// The size is not asked for: files in /proc say 0.
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return File{}, err
	}
	if len(content) > MaxFile {
		return File{}, fmt.Errorf("reading %s: more than %d bytes", path, MaxFile)
	}
	return File{Content: content, Mode: fi.Mode().Perm(), Owner: ownerOf(fi)}, nil
}

// ownerOf is the owner of what fi describes; zero if that is who regctl runs as.
func ownerOf(fi fs.FileInfo) Owner {
	stat, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{}
	}
	o := Owner{UID: int(stat.Uid), GID: int(stat.Gid)}
	if o.UID == os.Geteuid() && o.GID == os.Getegid() {
		return Owner{}
	}
	return o
}

// Mkdir implements [Machine].
func (Local) Mkdir(path string, mode fs.FileMode, o Owner) (changed bool, err error) {
	if err := errors.Join(ValidPath(path), ValidMode(mode)); err != nil {
		return false, fmt.Errorf("creating a directory: %w", err)
	}
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(path, 0o700); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	case !fi.IsDir():
		return false, fmt.Errorf("creating directory %s: there is something else (%v)", path, fi.Mode())
	case fi.Mode().Perm() == mode && ownerOf(fi) == o:
		return false, nil
	}
	if o == (Owner{}) {
		o = Owner{UID: os.Geteuid(), GID: os.Getegid()}
	}
	// Not os.Chown: it would follow a symbolic link that replaced the directory.
	if err := os.Lchown(path, o.UID, o.GID); err != nil {
		return true, err
	}
	// After Mkdir as well: the umask has no say in what was asked for.
	if err := os.Chmod(path, mode); err != nil {
		return true, err
	}
	return true, syncParent(path)
}

// Remove implements [Machine].
func (Local) Remove(path string) (changed bool, err error) {
	if err := ValidPath(path); err != nil {
		return false, fmt.Errorf("removing: %w", err)
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, syncParent(path)
}

// RemoveAll implements [Machine].
func (Local) RemoveAll(path string) (changed bool, err error) {
	if err := ValidTree(path); err != nil {
		return false, fmt.Errorf("removing: %w", err)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := os.RemoveAll(path); err != nil {
		return true, err
	}
	return true, syncParent(path)
}

func notRegular(mode fs.FileMode) error {
	return fmt.Errorf("not a regular file (%v)", mode)
}
