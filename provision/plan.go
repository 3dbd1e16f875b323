package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Planned is what a step would do now.
type Planned struct {
	Step string `json:"step"`
	step.Change
	// Problem says why the step cannot tell; Change is empty then.
	Problem string `json:"problem,omitempty"`
}

// Plan asks every step what it would do. It changes nothing: steps are handed
// a Looker. The error joins those of all steps that cannot tell.
func Plan(ctx context.Context, l host.Looker, steps []step.Step) ([]Planned, error) {
	plan := make([]Planned, len(steps))
	var problems []error
	for i, s := range steps {
		plan[i].Step = s.Name()
		change, err := check(ctx, s, l)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			plan[i].Problem = err.Error()
			problems = append(problems, err)
			continue
		}
		plan[i].Change = change
	}
	return plan, errors.Join(problems...)
}

// Pending counts the steps of a plan that have something to do.
func Pending(plan []Planned) int {
	n := 0
	for _, p := range plan {
		if p.Action != step.Keep {
			n++
		}
	}
	return n
}

// check names the step in errors, once.
func check(ctx context.Context, s step.Step, l host.Looker) (step.Change, error) {
	change, err := s.Check(ctx, l)
	if err != nil {
		return step.Change{}, &StepError{s.Name(), err}
	}
	return change, nil
}

// StepError is an error of a step.
type StepError struct {
	Step string
	Err  error
}

// Error implements error.
func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// UnknownStepError says that a name is not that of a step.
type UnknownStepError struct {
	Name  string
	Known []string
}

// Error implements error.
func (e *UnknownStepError) Error() string {
	return fmt.Sprintf("there is no step %q; the steps are %s", e.Name, strings.Join(e.Known, ", "))
}

// Selection leaves steps out: those in Skip, and, unless Only is empty, those
// that are not in Only.
type Selection struct{ Skip, Only []string }

// Check refuses names of which there is no step, with an [*UnknownStepError].
func (s Selection) Check(steps []step.Step) error {
	known := namesOf(steps)
	for _, name := range slices.Concat(s.Skip, s.Only) {
		if !slices.Contains(known, name) {
			return &UnknownStepError{name, known}
		}
	}
	return nil
}

func (s Selection) leavesOut(name string) bool {
	return slices.Contains(s.Skip, name) || len(s.Only) > 0 && !slices.Contains(s.Only, name)
}

// Of returns the steps that are not left out.
func (s Selection) Of(steps []step.Step) []step.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(st step.Step) bool { return s.leavesOut(st.Name()) })
}

func namesOf(steps []step.Step) []string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = s.Name()
	}
	return out
}

// counted is "1 file", "2 files".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
