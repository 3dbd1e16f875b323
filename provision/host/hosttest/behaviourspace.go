package hosttest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"regctl/provision/host"
)

// space tests what is there of a file system; links are tested where they can
// be made.
func space(t *testing.T, m host.Machine, dir string) {
	s, err := m.Statfs(dir)
	if err != nil || s.Bytes == 0 || s.Free > s.Bytes || s.FreeInodes > s.Inodes || s.ReadOnly {
		t.Errorf("space %+v, %v", s, err)
	}
	file := filepath.Join(dir, "f")
	if _, err := m.WriteFile(file, host.File{Content: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if of, err := m.Statfs(file); err != nil || of.Bytes != s.Bytes || of.Type != s.Type {
		t.Errorf("space at a file %+v, %v; of its directory %+v", of, err, s)
	}
	for what, call := range map[string]func(string) error{
		"Statfs":   func(path string) error { _, err := m.Statfs(path); return err },
		"ReadLink": func(path string) error { _, err := m.ReadLink(path); return err },
	} {
		if err := call(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of nothing: %v, want fs.ErrNotExist", what, err)
		}
		if err := call("relative"); err == nil {
			t.Errorf("%s of a relative path: no error", what)
		}
	}
	if _, err := m.ReadLink(file); err == nil {
		t.Error("ReadLink of a file: no error")
	}
}
