package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
)

// placed is a file and where it belongs.
type placed struct {
	path string
	host.File
}

// files is a step that keeps files as they shall be. What they shall be is
// asked each time: it can depend on what earlier steps have found out.
type files struct {
	name   string
	wanted func(host.Looker) ([]placed, error)
	keep   bool   // when the installation is taken back
	dir    string // of the installation: causes name files below it
}

func (s *files) short(path string) string {
	if s.dir == "" {
		return path
	}
	return strings.TrimPrefix(path, s.dir+"/")
}

// Name implements [step.Step].
func (s *files) Name() string { return s.name }

// Check implements [step.Step].
func (s *files) Check(_ context.Context, l host.Looker) (step.Change, error) {
	wanted, err := s.wanted(l)
	if err != nil {
		return step.Change{}, err
	}
	var missing, different []string
	for _, f := range wanted {
		old, err := l.ReadFile(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, s.short(f.path))
		case err != nil:
			return step.Change{}, err
		case !bytes.Equal(old.Content, f.Content):
			different = append(different, s.short(f.path))
		case old.Mode != f.Mode || old.Owner != f.Owner:
			different = append(different, s.short(f.path)+" (mode or owner)")
		}
	}
	switch {
	case len(missing) == len(wanted):
		return step.Create.Because("no %s", strings.Join(missing, ", ")), nil
	case len(missing) > 0:
		return step.Update.Because("no %s", strings.Join(missing, ", ")), nil
	case len(different) > 0:
		return step.Update.Because("not as it shall be: %s", strings.Join(different, ", ")), nil
	}
	return step.Keep.Because("%d files as they shall be", len(wanted)), nil
}

// Apply implements [step.Step].
func (s *files) Apply(_ context.Context, m host.Machine) error {
	wanted, err := s.wanted(m)
	if err != nil {
		return err
	}
	for _, f := range wanted {
		if _, err := m.WriteFile(f.path, f.File); err != nil {
			return err
		}
	}
	return nil
}

// Undo implements [step.Undoer].
func (s *files) Undo(_ context.Context, m host.Machine) error {
	if s.keep {
		return nil
	}
	wanted, err := s.wanted(m)
	if err != nil {
		return fmt.Errorf("finding out which files to remove: %w", err)
	}
	for _, f := range wanted {
		if _, err := m.Remove(f.path); err != nil {
			return err
		}
	}
	return nil
}
