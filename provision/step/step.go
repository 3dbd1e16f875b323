// Package step says what a step of the set-up is: something that can tell
// what it would change, and change it. It knows hosts and nothing else of
// ours; the list of steps and the loop over them are package provision's.
package step

import (
	"context"
	"fmt"

	"regctl/provision/host"
)

// Step brings one thing on the host to its desired state, which it was given
// when it was made. It decides in Check; Apply only acts.
//
// Done means that Check says so: a step is applied if Check says anything but
// [Keep], and is a failure if Check then does not say Keep.
type Step interface {
	// Name is what people call the step, on the command line too: lower
	// case, words joined by hyphens. It never changes.
	Name() string

	// Check compares the host with the desired state and says what Apply
	// would do. An error means that it could not find out.
	Check(ctx context.Context, l host.Looker) (Change, error)

	// Apply makes the change. It can be repeated, also after it was
	// interrupted half-way.
	Apply(ctx context.Context, m host.Machine) error
}

// Undoer is a step that can take back what its Apply did. It is called for
// what regctl itself has created, as its journal says.
type Undoer interface {
	Step

	// Undo can be repeated, like Apply.
	Undo(ctx context.Context, m host.Machine) error
}

// Action is what a step would do. The zero Action is none of those below, so
// that a Change left empty by mistake never counts as done.
type Action string

const (
	Keep   Action = "keep"   // nothing: the host is as it shall be
	Create Action = "create" // make something that is not there
	Update Action = "update" // change something that is there
	Wait   Action = "wait"   // nothing yet: someone else has to act first, and the cause says who
)

// Because makes the Change with this action and cause; see [fmt.Sprintf].
func (a Action) Because(format string, args ...any) Change {
	return Change{Action: a, Cause: fmt.Sprintf(format, args...)}
}

// Change is what Check found out.
type Change struct {
	Action Action `json:"action"`

	// Cause is written for the operator: what the host has or lacks, in
	// lower case and without a full stop. Never a secret.
	Cause string `json:"cause"`
}

// String is one line of a plan without the step's name: "create: no file /x".
func (c Change) String() string {
	action := c.Action
	if action == "" {
		action = "unknown"
	}
	if c.Cause == "" {
		return string(action)
	}
	return string(action) + ": " + c.Cause
}
