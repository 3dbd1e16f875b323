package stack

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"regctl/provision/host"
	"regctl/provision/step"
)

const (
	unitDir = "/etc/systemd/system"
	// systemdRuns is there exactly when systemd is process 1: sd_booted(3).
	systemdRuns = "/run/systemd/system"
)

// Unit is the step that has systemd start the stack after the host has
// started.
type Unit struct {
	unit    string
	content []byte
}

// NewUnit makes the step. Unit is the unit's name, "regctl.service", content
// its file.
func NewUnit(unit string, content []byte) *Unit { return &Unit{unit, content} }

// Name implements [step.Step].
func (*Unit) Name() string { return "unit" }

func (s *Unit) path() string    { return unitDir + "/" + s.unit }
func (s *Unit) file() host.File { return host.File{Content: s.content, Mode: 0o644} }

// Check implements [step.Step].
func (s *Unit) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	if runs, err := host.Exists(l, systemdRuns); err != nil || !runs {
		return step.Keep.Because("no systemd here: Docker starts the containers again by their restart policy"), err
	}
	got, err := l.ReadFile(s.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return step.Create.Because("no file %s", s.path()), nil
	case err != nil:
		return step.Change{}, err
	case !bytes.Equal(got.Content, s.content) || got.Mode != s.file().Mode:
		return step.Update.Because("%s differs", s.path()), nil
	}
	// Its exit status says the same as "enabled": systemctl(1).
	if _, err := l.Look(ctx, host.Command("systemctl", "is-enabled", "--quiet", s.unit)); host.ExitStatus(err) > 0 {
		return step.Update.Because("%s is not enabled", s.unit), nil
	} else if err != nil {
		return step.Change{}, err
	}
	return step.Keep.Because("systemd starts %s with the host", s.unit), nil
}

// Apply implements [step.Step]. It enables the unit and leaves its start to
// the next boot: the containers run already.
func (s *Unit) Apply(ctx context.Context, m host.Machine) error {
	if _, err := m.WriteFile(s.path(), s.file()); err != nil {
		return err
	}
	for _, argv := range [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "--quiet", "enable", s.unit}} {
		if _, err := m.Run(ctx, host.Command(argv...)); err != nil {
			return err
		}
	}
	return nil
}

// Undo implements [step.Undoer].
func (s *Unit) Undo(ctx context.Context, m host.Machine) error {
	found, err := host.Exists(m, s.path())
	if err != nil || !found {
		return err
	}
	if _, err := m.Run(ctx, host.Command("systemctl", "--quiet", "disable", s.unit)); err != nil {
		return err
	}
	if _, err := m.Remove(s.path()); err != nil {
		return err
	}
	_, err = m.Run(ctx, host.Command("systemctl", "daemon-reload"))
	return err
}
