// Package hosttest is a host in memory for the tests of steps: files that
// keep their state, and stand-ins for programs that refuse what they do not
// know.
package hosttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"regctl/provision/host"
)

// Machine is a host in memory. It starts as an empty root directory without
// programs. It is safe for concurrent use.
type Machine struct{ looker }

// looker is the half of Machine that reads; see [host.Local].
type looker struct {
	t testing.TB
	*state
}

type state struct {
	mu       sync.Mutex
	nodes    map[string]node
	programs map[string]*program
	spaces   map[string]host.Space
}

type node struct {
	mode    fs.FileMode
	content []byte
	owner   host.Owner
}

// New makes a machine whose stand-ins fail t when they are called with
// arguments they do not know, or not at all.
func New(t testing.TB) *Machine {
	m := &Machine{looker{t, &state{
		nodes:    map[string]node{"/": {mode: fs.ModeDir | 0o755}},
		programs: map[string]*program{},
		spaces:   map[string]host.Space{},
	}}}
	t.Cleanup(m.reportUnused)
	return m
}

// MkdirAll makes a directory of mode 0755 and all those above it: the state
// of the host before a test.
func (m *Machine) MkdirAll(path string) {
	m.t.Helper()
	if path != "/" {
		m.MkdirAll(filepath.Dir(path))
	}
	if _, err := m.Mkdir(path, 0o755, host.Owner{}); err != nil {
		m.t.Fatal(err)
	}
}

// Looker implements [host.Machine].
func (m *Machine) Looker() host.Looker { return m.looker }

// Stat implements [host.Looker].
func (l looker) Stat(path string) (host.Info, error) {
	if err := host.ValidPath(path); err != nil {
		return host.Info{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.nodes[path]
	if !ok {
		return host.Info{}, pathError("stat", path, fs.ErrNotExist)
	}
	return host.Info{Mode: n.mode, Size: int64(len(n.content)), Owner: n.owner}, nil
}

// ReadFile implements [host.Looker].
func (l looker) ReadFile(path string) (host.File, error) {
	if err := host.ValidPath(path); err != nil {
		return host.File{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.nodes[l.follow(path)]
	if !ok {
		return host.File{}, pathError("open", path, fs.ErrNotExist)
	}
	if !n.mode.IsRegular() {
		return host.File{}, pathError("read", path, syscall.EISDIR)
	}
	return host.File{Content: bytes.Clone(n.content), Mode: n.mode, Owner: n.owner}, nil
}

// ReadDir implements [host.Looker].
func (l looker) ReadDir(path string) ([]string, error) {
	if info, err := l.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode.IsDir() {
		return nil, pathError("read", path, syscall.ENOTDIR)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for other := range l.nodes {
		if filepath.Dir(other) == path && other != path {
			names = append(names, filepath.Base(other))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Digest implements [host.Looker].
func (l looker) Digest(path string) (string, error) {
	f, err := l.ReadFile(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(f.Content)), nil
}

// Look implements [host.Looker]. It asks the stand-in's Look function.
func (l looker) Look(ctx context.Context, c host.Cmd) (string, error) {
	l.t.Helper()
	return l.call(ctx, c, "look")
}

// Run implements [host.Machine]. It asks the stand-in's Run function.
func (m *Machine) Run(ctx context.Context, c host.Cmd) (string, error) {
	m.t.Helper()
	return m.call(ctx, c, "run")
}

// WriteFile implements [host.Machine].
func (m *Machine) WriteFile(path string, f host.File) (changed bool, err error) {
	if err := errors.Join(host.ValidPath(path), host.ValidFile(f)); err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.nodes[path]
	if ok && !old.mode.IsRegular() {
		return false, pathError("write", path, syscall.EISDIR)
	}
	if ok && old.mode == f.Mode && old.owner == f.Owner && bytes.Equal(old.content, f.Content) {
		return false, nil
	}
	return true, m.put(path, node{f.Mode, bytes.Clone(f.Content), f.Owner})
}

// CopyFile implements [host.Machine].
func (m *Machine) CopyFile(from, to string, mode fs.FileMode, o host.Owner) (changed bool, err error) {
	f, err := m.ReadFile(from)
	if err != nil {
		return false, err
	}
	return m.WriteFile(to, host.File{Content: f.Content, Mode: mode, Owner: o})
}

// CreateSecret implements [host.Machine].
func (m *Machine) CreateSecret(path string, s host.Secret, o host.Owner) error {
	f := host.File{Content: []byte(s.Reveal()), Mode: 0o600, Owner: o}
	if err := errors.Join(host.ValidPath(path), host.ValidFile(f)); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.nodes[path]; ok {
		return pathError("create", path, fs.ErrExist)
	}
	return m.put(path, node{f.Mode, f.Content, f.Owner})
}

// Mkdir implements [host.Machine].
func (m *Machine) Mkdir(path string, mode fs.FileMode, o host.Owner) (changed bool, err error) {
	if err := errors.Join(host.ValidPath(path), host.ValidMode(mode)); err != nil {
		return false, fmt.Errorf("creating a directory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.nodes[path]
	if ok && !old.mode.IsDir() {
		return false, pathError("mkdir", path, fs.ErrExist)
	}
	if ok && old.mode.Perm() == mode && old.owner == o {
		return false, nil
	}
	return true, m.put(path, node{mode: fs.ModeDir | mode, owner: o})
}

// Remove implements [host.Machine].
func (m *Machine) Remove(path string) (changed bool, err error) {
	if err := host.ValidPath(path); err != nil {
		return false, fmt.Errorf("removing: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.nodes {
		if path == "/" || strings.HasPrefix(other, path+"/") {
			return false, pathError("remove", path, syscall.ENOTEMPTY)
		}
	}
	_, ok := m.nodes[path]
	delete(m.nodes, path)
	return ok, nil
}

// RemoveAll implements [host.Machine].
func (m *Machine) RemoveAll(path string) (changed bool, err error) {
	if err := host.ValidTree(path); err != nil {
		return false, fmt.Errorf("removing: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.nodes[path]
	for other := range m.nodes {
		if other == path || strings.HasPrefix(other, path+"/") {
			delete(m.nodes, other)
		}
	}
	return ok, nil
}

// put places n at path if there is a directory to hold it.
func (s *state) put(path string, n node) error {
	parent := filepath.Dir(path)
	above, ok := s.nodes[parent]
	if !ok {
		return pathError("open", parent, fs.ErrNotExist)
	}
	if !above.mode.IsDir() {
		return pathError("open", parent, syscall.ENOTDIR)
	}
	s.nodes[path] = n
	return nil
}

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}
