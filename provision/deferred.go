package provision

import (
	"context"

	"regctl/provision/host"
	"regctl/provision/step"
)

// deferred is a step that is made anew from what the host has at each call:
// what earlier steps found out or made is known only then.
type deferred struct {
	name string
	made func(host.Looker) (step.Undoer, error)
}

// Name implements [step.Step].
func (s *deferred) Name() string { return s.name }

// Check implements [step.Step].
func (s *deferred) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	made, err := s.made(l)
	if err != nil {
		return step.Change{}, err
	}
	return made.Check(ctx, l)
}

// Apply implements [step.Step].
func (s *deferred) Apply(ctx context.Context, m host.Machine) error {
	made, err := s.made(m.Looker())
	if err != nil {
		return err
	}
	return made.Apply(ctx, m)
}

// Undo implements [step.Undoer].
func (s *deferred) Undo(ctx context.Context, m host.Machine) error {
	made, err := s.made(m.Looker())
	if err != nil {
		return err
	}
	return made.Undo(ctx, m)
}
