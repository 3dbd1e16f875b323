package step_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/provision/step"
)

// file is a real step: a file with a certain content.
type file struct {
	path string
	want host.File
}

var _ step.Undoer = file{}

func (f file) Name() string { return "file" }

func (f file) Check(_ context.Context, l host.Looker) (step.Change, error) {
	got, err := l.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return step.Create.Because("no file %s", f.path), nil
	case err != nil:
		return step.Change{}, err
	case got.Mode != f.want.Mode:
		return step.Update.Because("mode of %s is %v", f.path, got.Mode), nil
	case !bytes.Equal(got.Content, f.want.Content):
		return step.Update.Because("content of %s differs", f.path), nil
	}
	return step.Keep.Because("%s is up to date", f.path), nil
}

func (f file) Apply(_ context.Context, m host.Machine) error {
	_, err := m.WriteFile(f.path, f.want)
	return err
}

func (f file) Undo(_ context.Context, m host.Machine) error {
	_, err := m.Remove(f.path)
	return err
}

// converge does to one step what the set-up does: look, act, look again.
func converge(ctx context.Context, m host.Machine, s step.Step) (step.Change, error) {
	planned, err := s.Check(ctx, m.Looker())
	if err != nil || planned.Action == step.Keep {
		return planned, err
	}
	if err := s.Apply(ctx, m); err != nil {
		return planned, err
	}
	after, err := s.Check(ctx, m.Looker())
	if err == nil && after.Action != step.Keep {
		err = fmt.Errorf("applied, and still %v", after)
	}
	return planned, err
}

// writes counts what is done to the machine below it.
type writes struct {
	host.Machine
	n int
}

func (w *writes) WriteFile(path string, f host.File) (bool, error) {
	w.n++
	return w.Machine.WriteFile(path, f)
}

func TestApplyTwice(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (host.Machine, string){
		"local": func(t *testing.T) (host.Machine, string) { return host.Local{}, t.TempDir() },
		"memory": func(t *testing.T) (host.Machine, string) {
			m := hosttest.New(t)
			m.MkdirAll("/srv")
			return m, "/srv"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			under, dir := open(t)
			m := &writes{Machine: under}
			path := filepath.Join(dir, "a.conf")
			for _, round := range []struct {
				content string
				mode    fs.FileMode
				want    string
				writes  int
			}{
				{"one", 0o644, "create: no file " + path, 1},
				{"one", 0o644, "keep: " + path + " is up to date", 1},
				{"two", 0o644, "update: content of " + path + " differs", 2},
				{"two", 0o640, "update: mode of " + path + " is -rw-r--r--", 3},
				{"two", 0o640, "keep: " + path + " is up to date", 3},
			} {
				s := file{path, host.File{Content: []byte(round.content), Mode: round.mode}}
				change, err := converge(t.Context(), m, s)
				if err != nil || change.String() != round.want || m.n != round.writes {
					t.Errorf("got %q after %d writes, %v; want %q after %d", change, m.n, err, round.want, round.writes)
				}
			}
			s := file{path: path}
			for range 2 {
				if err := s.Undo(t.Context(), m); err != nil {
					t.Errorf("undo: %v", err)
				}
				if found, err := host.Exists(m, path); found || err != nil {
					t.Errorf("after undo: %t, %v", found, err)
				}
			}
		})
	}
}

// idle is a step whose Apply says that all went well and does nothing.
type idle struct{ file }

func (idle) Apply(context.Context, host.Machine) error { return nil }

// blank is a step that forgets to say what it found.
type blank struct{ file }

func (blank) Check(context.Context, host.Looker) (step.Change, error) { return step.Change{}, nil }

func TestDoneMeansThatCheckSaysSo(t *testing.T) {
	t.Parallel()
	m := hosttest.New(t)
	f := file{"/f", host.File{Content: []byte("x"), Mode: 0o644}}
	for want, s := range map[string]step.Step{
		"applied, and still create: no file /f": idle{f},
		"applied, and still unknown":            blank{file{"/g", f.want}},
	} {
		if _, err := converge(t.Context(), m, s); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	c := step.Wait.Because("%s does not point here", "registry.example.com")
	if got := c.String(); got != "wait: registry.example.com does not point here" {
		t.Error(got)
	}
	if got := (step.Change{Action: step.Keep}).String(); got != "keep" {
		t.Error(got)
	}
	if got, err := json.Marshal(c); string(got) != `{"action":"wait","cause":"registry.example.com does not point here"}` {
		t.Errorf("%s, %v", got, err)
	}
}
