package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/provision/step"
)

var errPulled = errors.New("the plug was pulled")

// pulled is a machine whose plug is pulled at one of its changes: before it, or
// right after it.
type pulled struct {
	host.Machine
	left  int // changes until then
	after bool
}

func (p *pulled) change(do func() error) error {
	p.left--
	switch {
	case p.left > 0:
		return do()
	case p.left == 0 && p.after:
		return errors.Join(do(), errPulled)
	}
	return errPulled
}

func (p *pulled) WriteFile(path string, f host.File) (changed bool, err error) {
	err = p.change(func() error { changed, err = p.Machine.WriteFile(path, f); return err })
	return changed, err
}

func (p *pulled) CreateSecret(path string, s host.Secret, o host.Owner) error {
	return p.change(func() error { return p.Machine.CreateSecret(path, s, o) })
}

func (p *pulled) Remove(path string) (changed bool, err error) {
	err = p.change(func() error { changed, err = p.Machine.Remove(path); return err })
	return changed, err
}

func (p *pulled) Mkdir(string, fs.FileMode, host.Owner) (bool, error) {
	return false, errors.New("steps of this package make no directories")
}

// newHost is a machine with the directories of an installation.
func newHost(t *testing.T) *hosttest.Machine {
	t.Helper()
	m := hosttest.New(t)
	for _, dir := range []string{"/srv/certs/live", "/srv/auth", "/srv/registry", "/etc/ssl"} {
		m.MkdirAll(dir)
	}
	return m
}

// converge does to a step what the set-up does, twice: the second time there is
// nothing to do.
func converge(t *testing.T, m host.Machine, s step.Step, want string) {
	t.Helper()
	change, err := s.Check(t.Context(), m.Looker())
	if err != nil || change.String() != want {
		t.Fatalf("planned %q, %v; want %q", change, err, want)
	}
	if change.Action == step.Keep {
		return
	}
	for range 2 {
		if err := s.Apply(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if change, err := s.Check(t.Context(), m.Looker()); err != nil || change.Action != step.Keep {
			t.Fatalf("applied, and still %v, %v", change, err)
		}
	}
}

// pullAll applies a step on a machine that before has made, with the plug
// pulled at every change there is. Each time intact must find nothing broken,
// and the next Apply must put all right.
func pullAll(t *testing.T, s step.Step, before func(t *testing.T) host.Machine, intact func(l host.Looker) error) {
	t.Helper()
	for at := 1; ; at++ {
		for _, after := range []bool{false, true} {
			m := before(t)
			err := s.Apply(t.Context(), &pulled{m, at, after})
			if err == nil {
				if at == 1 {
					t.Fatal("it changes nothing")
				}
				return
			}
			what := fmt.Sprintf("plug pulled at change %d (after it: %t)", at, after)
			if !errors.Is(err, errPulled) {
				t.Fatalf("%s: %v", what, err)
			}
			if err := intact(m.Looker()); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := s.Check(t.Context(), m.Looker()); err != nil {
				t.Errorf("%s: check: %v", what, err)
			}
			if err := s.Apply(t.Context(), m); err != nil {
				t.Errorf("%s: the next time: %v", what, err)
			}
			if change, err := s.Check(t.Context(), m.Looker()); err != nil || change.Action != step.Keep {
				t.Errorf("%s: in the end %v, %v", what, change, err)
			}
		}
	}
}

func put(t *testing.T, m host.Machine, path string, mode fs.FileMode, content []byte) {
	t.Helper()
	if _, err := m.WriteFile(path, host.File{Content: content, Mode: mode}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, l host.Looker, path string) []byte {
	t.Helper()
	f, err := l.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f.Content
}

func check(t *testing.T, s step.Step, l host.Looker) string {
	t.Helper()
	change, err := s.Check(t.Context(), l)
	if err != nil {
		return "error: " + err.Error()
	}
	return change.String()
}

// nobody is a reload where nothing runs.
func nobody(context.Context, host.Machine) error { return nil }
