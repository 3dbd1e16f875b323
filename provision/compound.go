package provision

import (
	"context"

	"regctl/provision/host"
	"regctl/provision/step"
)

// all are several of one kind as one step, with the name of the first. Which
// one has something to do is in the cause.
type all []step.Step

// Name implements [step.Step].
func (s all) Name() string { return s[0].Name() }

// Check implements [step.Step].
func (s all) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	var last step.Change
	for _, one := range s {
		change, err := one.Check(ctx, l)
		if err != nil || change.Action != step.Keep {
			return change, err
		}
		last = change
	}
	return last, nil
}

// Apply implements [step.Step].
func (s all) Apply(ctx context.Context, m host.Machine) error {
	for _, one := range s {
		if err := one.Apply(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// idle is a step that this installation does not need.
type idle struct{ name, why string }

// Name implements [step.Step].
func (s idle) Name() string { return s.name }

// Check implements [step.Step].
func (s idle) Check(context.Context, host.Looker) (step.Change, error) {
	return step.Keep.Because("%s", s.why), nil
}

// Apply implements [step.Step].
func (idle) Apply(context.Context, host.Machine) error { return nil }
