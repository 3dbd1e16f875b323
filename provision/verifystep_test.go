package provision

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"regctl/provision/host"
	"regctl/provision/step"
)

// The step is applied once for each state, and not again.
func TestVerifyStep(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{})
	stamp := filepath.Join(s.paths.Dir, "verified.json")
	state := "one"
	verify := NewVerify(s.target, stamp, func(host.Looker) (string, error) { return state, nil })
	var mu sync.Mutex
	var told []string
	ctx := step.WithProgress(t.Context(), func(p step.Progress) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, p.Text)
	})
	for _, round := range []struct {
		state, before string
		proofs        int
	}{
		{"one", "create: never proven", 9},
		{"one", "keep: proven at ", 0},
		{"two", "update: changed since it was proven at ", 9},
	} {
		state, told = round.state, nil
		change, err := verify.Check(ctx, host.Local{}.Looker())
		if err != nil || !strings.HasPrefix(change.String(), round.before) {
			t.Fatalf("%v, %v; want %s", change, err, round.before)
		}
		if change.Action == step.Keep {
			continue
		}
		for range 2 {
			told = nil
			if err := verify.Apply(ctx, host.Local{}); err != nil {
				t.Fatal(err)
			}
			if len(told) != 2*round.proofs || told[0] != "proving redirect" || !strings.HasPrefix(told[9], "push: an image of ") {
				t.Errorf("told %q", told)
			}
			s.clean(told...)
		}
		if change, err = verify.Check(ctx, host.Local{}.Looker()); err != nil || change.Action != step.Keep {
			t.Errorf("after Apply: %v, %v", change, err)
		}
	}
	for range 2 {
		if err := verify.(step.Undoer).Undo(ctx, host.Local{}); err != nil {
			t.Error(err)
		}
	}
	if change, err := verify.Check(ctx, host.Local{}.Looker()); err != nil || change.Action != step.Create {
		t.Errorf("after Undo: %v, %v", change, err)
	}
}

// A proof that fails leaves the step undone.
func TestVerifyStepFails(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{strange: true})
	stamp := filepath.Join(s.paths.Dir, "verified.json")
	verify := NewVerify(s.target, stamp, func(host.Looker) (string, error) { return "one", nil })
	for range 2 {
		err := verify.Apply(t.Context(), host.Local{})
		if failed, ok := errors.AsType[*VerifyError](err); !ok || failed.Proof != "login" {
			t.Errorf("Apply: %v", err)
		}
		if change, err := verify.Check(t.Context(), host.Local{}.Looker()); err != nil || change.Action != step.Create {
			t.Errorf("Check: %v, %v", change, err)
		}
	}
	s.clean()

	if _, err := (host.Local{}).WriteFile(stamp, host.File{Content: []byte("garbage"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if change, err := verify.Check(context.Background(), host.Local{}.Looker()); err != nil || change.Action != step.Update {
		t.Errorf("with a broken stamp: %v, %v", change, err)
	}
}
