// Package host is the only place where regctl reads and changes the machine
// it sets up: files in absolute paths, and programs as argument lists.
//
// Looking and changing are two types. A function that is handed a [Looker]
// cannot change anything, which is what makes a plan and a dry run honest.
// [Local] is the real machine; package hosttest has one in memory.
package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// MaxFile is the largest file that is read or written from memory, in bytes.
// What a step handles is configuration, keys and certificates; anything larger
// is a mistake. Programs are copied: see CopyFile of [Machine].
const MaxFile = 16 << 20

// Looker sees the host and cannot change it.
type Looker interface {
	// Stat describes what is at path, without following a symbolic link at
	// its end. Nothing there is an error that wraps [fs.ErrNotExist].
	Stat(path string) (Info, error)

	// ReadFile reads a regular file of up to [MaxFile] bytes, following
	// symbolic links. No such file is an error that wraps [fs.ErrNotExist].
	ReadFile(path string) (File, error)

	// ReadDir names what is in a directory, sorted. No such directory is an
	// error that wraps [fs.ErrNotExist].
	ReadDir(path string) ([]string, error)

	// Digest is the SHA-256 in hexadecimal digits of a regular file of any
	// size, following symbolic links. No such file is an error that wraps
	// [fs.ErrNotExist].
	Digest(path string) (string, error)

	// ReadLink is what the symbolic link at path points to, unresolved: in /proc
	// not always a path. No such link is an error that wraps [fs.ErrNotExist].
	ReadLink(path string) (string, error)

	// Statfs describes the file system at path, following symbolic links. No
	// such path is an error that wraps [fs.ErrNotExist].
	Statfs(path string) (Space, error)

	// Look runs a command that only reads, and returns its standard output.
	// The caller vouches for that: programs do not tell. hosttest holds
	// callers to it, since a stand-in answers looks and runs separately.
	// A command that fails is a [*CmdError].
	Look(ctx context.Context, c Cmd) (string, error)
}

// Machine is a host that can be changed. Every method is safe to repeat, and
// those that answer changed say whether they had anything to do.
type Machine interface {
	Looker

	// Looker is the same host for reading alone. What it returns is not a
	// Machine, whatever it is asserted to.
	Looker() Looker

	// WriteFile makes path a regular file with this content, mode and owner.
	// The file is touched only if it differs, and then replaced as a whole: a
	// reader, or whoever comes after a crash, finds the old file or the new
	// one. The directory must exist. Anything else than a regular file at path
	// is an error.
	//
	// One writer per path: of two at the same time one may fail.
	WriteFile(path string, f File) (changed bool, err error)

	// CopyFile makes the file to a copy of from, of any size, in the manner of
	// WriteFile.
	CopyFile(from, to string, mode fs.FileMode, o Owner) (changed bool, err error)

	// CreateSecret makes path a new file of mode 0600. It never replaces:
	// if there is anything at path the error wraps [fs.ErrExist].
	CreateSecret(path string, s Secret, o Owner) error

	// Mkdir makes path a directory with exactly this mode and owner. The
	// directory above it must exist, so that a journal can name all that was
	// created.
	Mkdir(path string, mode fs.FileMode, o Owner) (changed bool, err error)

	// Remove removes a file or an empty directory; nothing there is fine.
	Remove(path string) (changed bool, err error)

	// RemoveAll removes path with everything below it, and follows no symbolic
	// link; nothing there is fine.
	RemoveAll(path string) (changed bool, err error)

	// Run runs a command that may change the host, and returns its standard
	// output. A command that fails is a [*CmdError].
	Run(ctx context.Context, c Cmd) (string, error)
}

// File is the content, the permission bits and the owner of a regular file.
type File struct {
	Content []byte
	Mode    fs.FileMode
	Owner   Owner
}

// Info is what [Looker.Stat] sees. Mode has the type bits of [fs.FileMode],
// so Mode.IsDir and Mode.IsRegular answer. Size is in bytes, for regular files.
type Info struct {
	Mode  fs.FileMode
	Size  int64
	Owner Owner
}

// Owner is the user and group to whom something belongs, by number: those of a
// container have no name on the host. The zero Owner is the user and group
// regctl runs as, root in a set-up, whatever their numbers are.
type Owner struct{ UID, GID int }

// Exists reports whether there is anything at path.
func Exists(l Looker, path string) (bool, error) {
	_, err := l.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ValidPath refuses paths that are not absolute and clean, because what they
// name depends on where regctl was started.
func ValidPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Errorf("path %q: must be absolute, without . or .. in it", path)
	}
	return nil
}

// ValidTree refuses to remove what [ValidPath] refuses, and the root directory
// and those right below it, which hold more than one installation ever owns.
func ValidTree(path string) error {
	if err := ValidPath(path); err != nil {
		return err
	}
	if filepath.Dir(filepath.Dir(path)) == filepath.Dir(path) {
		return fmt.Errorf("path %q: too much to remove", path)
	}
	return nil
}

// ValidMode refuses no permissions at all, which is a forgotten field, and
// everything beyond the nine permission bits.
func ValidMode(mode fs.FileMode) error {
	if mode == 0 || mode&^fs.ModePerm != 0 {
		return fmt.Errorf("mode %#o: must be permission bits such as 0644", uint32(mode))
	}
	return nil
}

// ValidFile refuses a mode [ValidMode] refuses, and more than [MaxFile] bytes.
func ValidFile(f File) error {
	if len(f.Content) > MaxFile {
		return fmt.Errorf("content of %d bytes: must be at most %d", len(f.Content), MaxFile)
	}
	return ValidMode(f.Mode)
}
