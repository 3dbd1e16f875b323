package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile implements [Machine].
func (l Local) WriteFile(path string, f File) (changed bool, err error) {
	if err := errors.Join(ValidPath(path), ValidFile(f)); err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	same, err := l.holds(path, f)
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	if same {
		return false, nil
	}
	return true, place(path, f.content(), os.Rename)
}

// CopyFile implements [Machine].
func (l Local) CopyFile(from, to string, mode fs.FileMode, o Owner) (changed bool, err error) {
	if err := errors.Join(ValidPath(to), ValidMode(mode)); err != nil {
		return false, fmt.Errorf("writing %s: %w", to, err)
	}
	source, _, err := openRegular(from)
	if err != nil {
		return false, err
	}
	defer source.Close()
	same, err := l.isCopy(source, to, mode, o)
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", to, err)
	}
	if same {
		return false, nil
	}
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	return true, place(to, content{source, mode, o}, os.Rename)
}

// isCopy reports whether path is a regular file with the content of source,
// and this mode and owner.
func (l Local) isCopy(source io.Reader, path string, mode fs.FileMode, o Owner) (bool, error) {
	info, err := l.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode.IsRegular() {
		return false, notRegular(info.Mode)
	}
	if info.Mode != mode || info.Owner != o {
		return false, nil
	}
	want, err := digest(source)
	if err != nil {
		return false, err
	}
	got, err := l.Digest(path)
	return got == want, err
}

// content is a file to be written.
type content struct {
	io.Reader
	mode  fs.FileMode
	owner Owner
}

func (f File) content() content { return content{bytes.NewReader(f.Content), f.Mode, f.Owner} }

// CreateSecret implements [Machine].
func (Local) CreateSecret(path string, s Secret, o Owner) error {
	f := File{Content: []byte(s.Reveal()), Mode: 0o600, Owner: o}
	if err := errors.Join(ValidPath(path), ValidFile(f)); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	// link(2) fails if the new name exists; rename(2) would replace it.
	return place(path, f.content(), os.Link)
}

// holds reports whether path is a regular file with exactly this content, mode
// and owner. Something that is not a regular file is an error.
func (l Local) holds(path string, f File) (bool, error) {
	info, err := l.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode.IsRegular() {
		return false, notRegular(info.Mode)
	}
	if info.Mode != f.Mode || info.Owner != f.Owner || info.Size != int64(len(f.Content)) {
		return false, nil
	}
	old, err := l.ReadFile(path)
	return err == nil && bytes.Equal(old.Content, f.Content), err
}

// tempPrefix starts the names of the temporary files beside path.
func tempPrefix(path string) string {
	return "." + filepath.Base(path) + ".regctl-"
}

// place writes f to a temporary file beside path, and has put (rename or link)
// give it its name once it is on the disk. A crash at any point leaves path
// as it was or as it shall be, and at most one temporary file, of mode 0600
// until it is complete, which the next call for path removes.
func place(path string, f content, put func(from, to string) error) error {
	if err := removeLeftovers(path); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*") // exclusive, 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already after a rename
	_, err = io.Copy(temp, f)
	// The owner first: chown(2) may clear mode bits.
	if err == nil && f.owner != (Owner{}) {
		err = temp.Chown(f.owner.UID, f.owner.GID)
	}
	if err == nil {
		err = temp.Chmod(f.mode)
	}
	if err == nil {
		err = temp.Sync()
	}
	// Close can be the one that reports a full disk: close(2).
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := put(temp.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncParent(path)
}

func removeLeftovers(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix(path)) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncParent writes the directory of path to the disk, with the name that was
// just made or removed in it: fsync(2), NOTES.
func syncParent(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
