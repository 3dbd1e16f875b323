package hosttest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"regctl/provision/host"
)

// Mount has [host.Looker.Statfs] answer s for dir and what is below it. A new
// machine has one file system, with 64 GiB and 4 million inodes that are free.
func (m *Machine) Mount(dir string, s host.Space) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spaces[dir] = s
}

// Symlink makes path a symbolic link, with the directories above it: the state
// of the host before a test. Only ReadFile follows it, at the end of a path.
func (m *Machine) Symlink(path, target string) {
	m.t.Helper()
	m.MkdirAll(filepath.Dir(path))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.put(path, node{mode: fs.ModeSymlink | 0o777, content: []byte(target)}); err != nil {
		m.t.Fatal(err)
	}
}

// follow returns where a chain of links at path ends.
func (s *state) follow(path string) string {
	for range 40 { // as many as Linux follows: path_resolution(7)
		n := s.nodes[path]
		if n.mode.Type() != fs.ModeSymlink {
			break
		}
		target := string(n.content)
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return path
}

// ReadLink implements [host.Looker].
func (l looker) ReadLink(path string) (string, error) {
	info, err := l.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode.Type() != fs.ModeSymlink {
		return "", pathError("readlink", path, syscall.EINVAL)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.nodes[path].content), nil
}

// Statfs implements [host.Looker].
func (l looker) Statfs(path string) (host.Space, error) {
	if _, err := l.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = pathError("statfs", path, fs.ErrNotExist)
		}
		return host.Space{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; ; path = filepath.Dir(path) {
		if s, ok := l.spaces[path]; ok {
			return s, nil
		}
		if path == "/" {
			return host.Space{Bytes: 64 << 30, Free: 64 << 30, Inodes: 4 << 20, FreeInodes: 4 << 20}, nil
		}
	}
}
