package provision

import (
	"testing"

	"regctl/provision/host"
	"regctl/provision/step"
)

// checked applies a step until Check says keep, and again, and returns what Check
// said at first.
func checked(t *testing.T, m host.Machine, s step.Step) step.Change {
	t.Helper()
	first, err := s.Check(t.Context(), m.Looker())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Apply(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if after, err := s.Check(t.Context(), m.Looker()); err != nil || after.Action != step.Keep {
			t.Fatalf("after Apply: %v, %v", after, err)
		}
	}
	return first
}

func TestFiles(t *testing.T) {
	t.Parallel()
	m := machine(t)
	a := placed{"/srv/regctl/a", host.File{Content: []byte("a"), Mode: 0o644}}
	b := placed{"/srv/regctl/b", host.File{Content: []byte("b"), Mode: 0o640, Owner: host.Owner{UID: 0, GID: 101}}}
	wanted := []placed{a, b}
	s := &files{name: "files", wanted: func(host.Looker) ([]placed, error) { return wanted, nil }}
	want := func(action step.Action, cause string) {
		t.Helper()
		if got := checked(t, m, s); got.Action != action || got.Cause != cause {
			t.Errorf("got %v; want %s: %s", got, action, cause)
		}
	}
	want(step.Create, "no /srv/regctl/a, /srv/regctl/b")
	want(step.Keep, "2 files as they shall be")
	if _, err := m.WriteFile(a.path, host.File{Content: []byte("by hand"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	want(step.Update, "not as it shall be: /srv/regctl/a")
	if _, err := m.WriteFile(b.path, host.File{Content: []byte("b"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	want(step.Update, "not as it shall be: /srv/regctl/b (mode or owner)")
	if _, err := m.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	want(step.Update, "no /srv/regctl/b")

	for range 2 {
		if err := s.Undo(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range wanted {
		if found, err := host.Exists(m, f.path); found || err != nil {
			t.Errorf("%s after Undo: %t, %v", f.path, found, err)
		}
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	m := machine(t)
	user := host.Owner{UID: 101, GID: 101}
	ds := directories{{"/srv/regctl", 0o755, host.Owner{}}, {"/srv/regctl/run", 0o750, user}, {"/srv/regctl/data", 0o700, user}}
	if got := checked(t, m, ds); got.Action != step.Create || got.Cause != "no directory /srv/regctl with 2 directories in it" {
		t.Errorf("fresh: %v", got)
	}
	if _, err := m.Mkdir("/srv/regctl/run", 0o777, user); err != nil {
		t.Fatal(err)
	}
	if got := checked(t, m, ds); got.Action != step.Update || got.Cause != "mode or owner differs: /srv/regctl/run" {
		t.Errorf("another mode: %v", got)
	}
	if _, err := m.WriteFile("/srv/regctl/data/blob", host.File{Content: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if err := ds.Undo(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/srv/regctl": true, "/srv/regctl/run": false, "/srv/regctl/data/blob": true} {
		if found, err := host.Exists(m, path); found != want || err != nil {
			t.Errorf("%s after Undo: %t, %v; want %t", path, found, err, want)
		}
	}
}

func TestSecretsAreNeverReplaced(t *testing.T) {
	t.Parallel()
	m := machine(t)
	if err := m.CreateSecret("/srv/regctl/old", host.NewSecret("old"), host.Owner{}); err != nil {
		t.Fatal(err)
	}
	user := host.Owner{UID: 101, GID: 101}
	s := secrets{{path: "/srv/regctl/old"}, {path: "/srv/regctl/new", owner: user}}
	if got := checked(t, m, s); got.Action != step.Create || got.Cause != "no /srv/regctl/new" {
		t.Errorf("got %v", got)
	}
	if f, err := m.ReadFile("/srv/regctl/old"); err != nil || string(f.Content) != "old" {
		t.Errorf("the old secret is %q, %v", f.Content, err)
	}
	f, err := m.ReadFile("/srv/regctl/new")
	if err != nil || len(f.Content) < 26 || f.Mode != 0o600 || f.Owner != user {
		t.Errorf("the new secret: %d bytes, mode %v, owner %v, %v", len(f.Content), f.Mode, f.Owner, err)
	}
}
