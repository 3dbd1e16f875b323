package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Outcome is how a step ended.
type Outcome string

const (
	Unchanged Outcome = "ok"      // there was nothing to do
	Changed   Outcome = "changed" // it did what its change says
	Skipped   Outcome = "skipped" // it was left out on request
	Failed    Outcome = "failed"
)

// Result is how one step went.
type Result struct {
	Step    string        `json:"step"`
	Outcome Outcome       `json:"outcome"`
	Change  step.Change   `json:"change"` // what there was to do
	Took    time.Duration `json:"-"`
	Err     error         `json:"-"`
}

// Watcher is told how Apply comes along. Its methods are called from one
// goroutine, but for Progress.
type Watcher interface {
	Begins(number, of int, name string)
	Progress(p step.Progress)
	Ends(number, of int, r Result)
}

// Apply brings the host to the state that the steps describe, one step after
// another, and stops at the first that fails: what is done stays done, and the
// next Apply goes on from there. The results are those of the steps that were
// reached. The error is a [*StepError].
//
// The journal notes what a step is about to create before it does, so that
// whatever a killed run has left is known.
func Apply(ctx context.Context, m host.Machine, steps []step.Step, leave Selection, j *Journal, w Watcher) ([]Result, error) {
	var results []Result
	for i, s := range steps {
		w.Begins(i+1, len(steps), s.Name())
		r := Result{Step: s.Name(), Outcome: Skipped}
		if !leave.leavesOut(s.Name()) {
			r = applyStep(step.WithProgress(ctx, w.Progress), m, s, j)
		}
		w.Ends(i+1, len(steps), r)
		results = append(results, r)
		if r.Err != nil {
			return results, &StepError{r.Step, r.Err}
		}
	}
	return results, nil
}

func applyStep(ctx context.Context, m host.Machine, s step.Step, j *Journal) (r Result) {
	r = Result{Step: s.Name(), Outcome: Failed}
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	if r.Err = ctx.Err(); r.Err != nil {
		return r
	}
	if r.Change, r.Err = s.Check(ctx, m.Looker()); r.Err != nil {
		return r
	}
	switch r.Change.Action {
	case step.Keep:
		r.Outcome = Unchanged
		return r
	case step.Wait:
		r.Err = errors.New(r.Change.Cause)
		return r
	case step.Create:
		if r.Err = j.Created(m, s.Name()); r.Err != nil {
			return r
		}
	}
	if r.Err = s.Apply(ctx, m); r.Err != nil {
		return r
	}
	after, err := s.Check(ctx, m.Looker())
	switch {
	case err != nil:
		r.Err = fmt.Errorf("looking at what was done: %w", err)
	case after.Action != step.Keep:
		r.Err = fmt.Errorf("still to be done after it was done: %s", after)
	default:
		r.Outcome = Changed
	}
	return r
}

// CountChanged counts the steps that changed something.
func CountChanged(results []Result) int {
	n := 0
	for _, r := range results {
		if r.Outcome == Changed {
			n++
		}
	}
	return n
}
