package provision

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"regctl/provision/host"
	"regctl/provision/step"
)

// directory is one that the installation has.
type directory struct {
	path  string
	mode  fs.FileMode
	owner host.Owner
}

// directories is the step that makes them, outer ones first.
type directories []directory

// Name implements [step.Step].
func (directories) Name() string { return "directories" }

// Check implements [step.Step].
func (ds directories) Check(_ context.Context, l host.Looker) (step.Change, error) {
	var missing, different []string
	for _, d := range ds {
		info, err := l.Stat(d.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, d.path)
		case err != nil:
			return step.Change{}, err
		case info.Mode != fs.ModeDir|d.mode || info.Owner != d.owner:
			different = append(different, d.path)
		}
	}
	switch {
	case slices.Contains(missing, ds[len(ds)-1].path) && len(missing) >= len(ds)-1:
		return step.Create.Because("no directory %s with %s in it", ds[0].path, counted(len(ds)-1, "directory", "directories")), nil
	case len(missing) > 0:
		return step.Update.Because("no directory %s", strings.Join(missing, ", ")), nil
	case len(different) > 0:
		return step.Update.Because("mode or owner differs: %s", strings.Join(different, ", ")), nil
	}
	return step.Keep.Because("%s in %s", counted(len(ds)-1, "directory", "directories"), ds[0].path), nil
}

// Apply implements [step.Step].
func (ds directories) Apply(_ context.Context, m host.Machine) error {
	for _, d := range ds {
		if _, err := m.Mkdir(d.path, d.mode, d.owner); err != nil {
			return err
		}
	}
	return nil
}

// Undo implements [step.Undoer]. Directories that hold something stay.
func (ds directories) Undo(_ context.Context, m host.Machine) error {
	for _, d := range slices.Backward(ds[1:]) { // the first holds the journal
		if _, err := m.Remove(d.path); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}
