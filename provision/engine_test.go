package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/provision/step"
)

// mark is a step that is done when its file is there. It fails or does nothing
// when it is told to.
type mark struct {
	name         string
	path         string
	fail, idle   error
	wait, update bool
}

func (s *mark) Name() string { return s.name }

func (s *mark) Check(_ context.Context, l host.Looker) (step.Change, error) {
	found, err := host.Exists(l, s.path)
	switch {
	case err != nil || found:
		return step.Keep.Because("there is %s", s.path), err
	case s.wait:
		return step.Wait.Because("somebody else makes %s", s.path), nil
	case s.update:
		return step.Update.Because("%s changed", s.path), nil
	}
	return step.Create.Because("no %s", s.path), nil
}

func (s *mark) Apply(_ context.Context, m host.Machine) error {
	if s.fail != nil || s.idle != nil {
		return s.fail
	}
	_, err := m.WriteFile(s.path, host.File{Content: []byte("x"), Mode: 0o600})
	return err
}

// undoable is a mark that can be taken back.
type undoable struct{ mark }

func (s *undoable) Undo(_ context.Context, m host.Machine) error {
	_, err := m.Remove(s.path)
	return err
}

// watching notes what it is told.
type watching struct{ lines []string }

func (w *watching) Begins(n, of int, name string) { w.note("%d/%d %s", n, of, name) }
func (w *watching) Progress(p step.Progress)      { w.note("%s", p.Text) }
func (w *watching) Ends(_, _ int, r Result)       { w.note("%s %s", r.Step, r.Outcome) }
func (w *watching) note(format string, a ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, a...))
}

func newMark(name string) *mark { return &mark{name: name, path: "/srv/regctl/" + name} }

func machine(t *testing.T) *hosttest.Machine {
	m := hosttest.New(t)
	m.MkdirAll("/srv/regctl")
	return m
}

func openJournal(t *testing.T, l host.Looker) *Journal {
	t.Helper()
	j, err := OpenJournal(l, "/srv/regctl/journal.json")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestApplyStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	m := machine(t)
	a, b, c := newMark("a"), newMark("b"), newMark("c")
	broken := errors.New("broken")
	b.fail = broken
	steps := []step.Step{a, b, c}

	w := new(watching)
	results, err := Apply(t.Context(), m, steps, Selection{}, openJournal(t, m), w)
	var of *StepError
	if !errors.As(err, &of) || of.Step != "b" || !errors.Is(err, broken) || err.Error() != "b: broken" {
		t.Errorf("the error is %v", err)
	}
	if got := strings.Join(w.lines, ", "); got != "1/3 a, a changed, 2/3 b, b failed" {
		t.Errorf("watched: %s", got)
	}
	if len(results) != 2 || CountChanged(results) != 1 {
		t.Errorf("results: %+v", results)
	}
	// b's beginning is in the journal: what it left half-done is to be undone.
	if got := openJournal(t, m).Steps(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("journal: %q", got)
	}

	b.fail = nil
	for round, want := range []string{"a ok, b changed, c changed", "a ok, b ok, c ok"} {
		results, err := Apply(t.Context(), m, steps, Selection{}, openJournal(t, m), new(watching))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got := outcomes(results); got != want {
			t.Errorf("round %d: %s; want %s", round, got, want)
		}
	}
	if got := openJournal(t, m).Steps(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("journal: %q", got)
	}
}

func outcomes(results []Result) string {
	var out []string
	for _, r := range results {
		out = append(out, r.Step+" "+string(r.Outcome))
	}
	return strings.Join(out, ", ")
}

func TestApplyBelievesOnlyCheck(t *testing.T) {
	t.Parallel()
	m := machine(t)
	idle, waits := newMark("idle"), newMark("waits")
	idle.idle = errors.New("does nothing")
	waits.wait = true
	for want, s := range map[string]step.Step{
		"idle: still to be done after it was done: create: no /srv/regctl/idle": idle,
		"waits: somebody else makes /srv/regctl/waits":                          waits,
	} {
		_, err := Apply(t.Context(), m, []step.Step{s}, Selection{}, openJournal(t, m), new(watching))
		if err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := machine(t)
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err := Apply(ctx, m, []step.Step{newMark("a")}, Selection{}, openJournal(t, m), new(watching)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := Plan(ctx, m.Looker(), []step.Step{newMark("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("the plan: %v", err)
	}
	if found, _ := host.Exists(m, "/srv/regctl/a"); found {
		t.Error("the step was applied")
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	steps := []step.Step{newMark("a"), newMark("b"), newMark("c")}
	for _, c := range []struct {
		leave Selection
		want  string
	}{
		{Selection{}, "a changed, b changed, c changed"},
		{Selection{Skip: []string{"b"}}, "a changed, b skipped, c changed"},
		{Selection{Only: []string{"b"}}, "a skipped, b changed, c skipped"},
		{Selection{Only: []string{"a", "b"}, Skip: []string{"a"}}, "a skipped, b changed, c skipped"},
	} {
		m := machine(t)
		if err := c.leave.Check(steps); err != nil {
			t.Fatal(err)
		}
		results, err := Apply(t.Context(), m, steps, c.leave, openJournal(t, m), new(watching))
		if err != nil || outcomes(results) != c.want {
			t.Errorf("%+v: %s, %v; want %s", c.leave, outcomes(results), err, c.want)
		}
	}
	for _, leave := range []Selection{{Skip: []string{"d"}}, {Only: []string{"a", "d"}}} {
		if err := leave.Check(steps); err == nil || err.Error() != `there is no step "d"; the steps are a, b, c` {
			t.Errorf("%+v: %v", leave, err)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	m := machine(t)
	done, unreadable := newMark("done"), newMark("unreadable")
	unreadable.path = "relative"
	if err := done.Apply(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	plan, err := Plan(t.Context(), m.Looker(), []step.Step{done, newMark("new"), unreadable})
	if len(plan) != 3 || Pending(plan) != 2 || plan[0].Action != step.Keep || plan[1].Action != step.Create {
		t.Errorf("plan: %+v", plan)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "unreadable: ") || plan[2].Problem != err.Error() {
		t.Errorf("problem %q, error %v", plan[2].Problem, err)
	}
}

func TestJournalUndoesBackwards(t *testing.T) {
	t.Parallel()
	m := machine(t)
	before := &undoable{*newMark("before")}
	before.update = true // something of the kind was there: not ours to remove
	a, b, kept := &undoable{*newMark("a")}, &undoable{*newMark("b")}, newMark("kept")
	steps := []step.Step{before, a, kept, b}
	if _, err := Apply(t.Context(), m, steps, Selection{}, openJournal(t, m), new(watching)); err != nil {
		t.Fatal(err)
	}
	var undone []string
	fail := true
	undo := func(u step.Undoer) error {
		if u.Name() == "a" && fail {
			return errors.New("not now")
		}
		undone = append(undone, u.Name())
		return u.Undo(t.Context(), m)
	}
	if err := openJournal(t, m).Undo(undo, m, steps); err == nil || err.Error() != "a: not now" {
		t.Errorf("got %v", err)
	}
	if got := openJournal(t, m).Steps(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("journal after the failure: %q", got)
	}
	fail = false
	for range 2 { // the second time there is nothing to do
		if err := openJournal(t, m).Undo(undo, m, steps); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(undone, []string{"b", "a"}) {
		t.Errorf("undone: %q", undone)
	}
	for name, want := range map[string]bool{"before": true, "a": false, "b": false, "kept": true, "journal.json": false} {
		if found, err := host.Exists(m, "/srv/regctl/"+name); found != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", name, found, err, want)
		}
	}
}

func TestJournalRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", `{"version":2}`, `{}`} {
		m := machine(t)
		if _, err := m.WriteFile("/srv/regctl/journal.json", host.File{Content: []byte(text), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(m, "/srv/regctl/journal.json"); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
