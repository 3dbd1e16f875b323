package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

// NewVerify makes the step that proves the installation at target with
// [Verify]. It is done when stampFile says that it was proven in the state that
// state describes now: a hash, or anything else that changes with what a proof
// depends on.
func NewVerify(target Target, stampFile string, state func(host.Looker) (string, error)) step.Step {
	return verifyStep{target, stampFile, state}
}

type verifyStep struct {
	target    Target
	stampFile string
	state     func(host.Looker) (string, error)
}

var _ step.Undoer = verifyStep{}

// stamp says what was proven, and when.
type stamp struct {
	State  string    `json:"state"`
	Proven time.Time `json:"proven"`
}

func (verifyStep) Name() string { return "verify" }

func (s verifyStep) Check(_ context.Context, l host.Looker) (step.Change, error) {
	file, err := l.ReadFile(s.stampFile)
	if errors.Is(err, fs.ErrNotExist) {
		return step.Create.Because("never proven by a login, a push and a pull"), nil
	}
	if err != nil {
		return step.Change{}, err
	}
	var last stamp
	if err := json.Unmarshal(file.Content, &last); err != nil {
		return step.Update.Because("%s cannot be read: %v", s.stampFile, err), nil
	}
	now, err := s.state(l)
	if err != nil {
		return step.Change{}, err
	}
	when := last.Proven.Format(time.RFC3339)
	if now != last.State {
		return step.Update.Because("changed since it was proven at %s", when), nil
	}
	return step.Keep.Because("proven at %s", when), nil
}

func (s verifyStep) Apply(ctx context.Context, m host.Machine) error {
	// Before the proofs: a change while they run has to be proven again.
	state, err := s.state(m.Looker())
	if err != nil {
		return err
	}
	target, note := s.target.Reachable(ctx)
	if note != "" {
		step.Report(ctx, step.Progress{Text: note, Lasting: true})
	}
	if _, err := Verify(ctx, target); err != nil {
		return err
	}
	text, err := json.Marshal(stamp{state, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if _, err := m.WriteFile(s.stampFile, host.File{Content: append(text, '\n'), Mode: 0o644}); err != nil {
		return fmt.Errorf("noting the proof: %w", err)
	}
	return nil
}

func (s verifyStep) Undo(_ context.Context, m host.Machine) error {
	_, err := m.Remove(s.stampFile)
	return err
}
