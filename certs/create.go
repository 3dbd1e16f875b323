package certs

import (
	"errors"
	"io/fs"
	"os"
)

// readOrCreate returns what is in path, which create makes if it is missing.
func readOrCreate(path string, create func() error) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if err := create(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
