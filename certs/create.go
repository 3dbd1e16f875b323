package certs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// readOrCreate returns what is in path, or fills it with what content makes.
// If another process creates path meanwhile, its content is returned.
func readOrCreate(path string, mode fs.FileMode, content func() ([]byte, error)) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if data, err = content(); err != nil {
		return nil, err
	}
	if err := create(path, mode, data); err == nil || !errors.Is(err, fs.ErrExist) {
		return data, err
	}
	return os.ReadFile(path)
}

// create writes a file that must not exist yet: path appears whole and durable
// or not at all. The exclusive step is link(2), which unlike rename(2) fails
// when the name is taken.
func create(path string, mode fs.FileMode, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
