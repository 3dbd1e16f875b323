package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Reload is the step that has the edge use the files that are on the disk.
type Reload struct {
	engine  *Engine
	project Project
	edge    Edge
	dirs    []string
	stamp   string
}

// NewReload makes the step. Dirs are the directories that the edge reads; all
// files right in them count. Stamp is the file that holds their digests as of
// the last reload, like sha256sum prints them.
func NewReload(e *Engine, p Project, edge Edge, dirs []string, stamp string) *Reload {
	return &Reload{e, p, edge, dirs, stamp}
}

// Name implements [step.Step].
func (*Reload) Name() string { return "reload" }

// Check implements [step.Step].
func (s *Reload) Check(_ context.Context, l host.Looker) (step.Change, error) {
	now, err := s.digests(l)
	if errors.Is(err, fs.ErrNotExist) {
		return step.Create.Because("the edge has no configuration yet"), nil
	}
	if err != nil {
		return step.Change{}, err
	}
	stamp, err := l.ReadFile(s.stamp)
	if errors.Is(err, fs.ErrNotExist) {
		return step.Create.Because("not known what the edge has loaded"), nil
	}
	if err != nil {
		return step.Change{}, err
	}
	if changed := differences(parseStamp(string(stamp.Content)), now); len(changed) > 0 {
		return step.Update.Because("changed since the edge has read them: %s", strings.Join(changed, ", ")), nil
	}
	return step.Keep.Because("the edge has loaded its %d files", len(now)), nil
}

// Apply implements [step.Step].
func (s *Reload) Apply(ctx context.Context, m host.Machine) error {
	// Before the reload: what changes meanwhile is found by the next Check.
	digests, err := s.digests(m)
	if err != nil {
		return err
	}
	if err := s.engine.ReloadEdge(ctx, s.project, s.edge); err != nil {
		return err
	}
	var stamp strings.Builder
	for _, path := range slices.Sorted(maps.Keys(digests)) {
		fmt.Fprintf(&stamp, "%s  %s\n", digests[path], path)
	}
	_, err = m.WriteFile(s.stamp, host.File{Content: []byte(stamp.String()), Mode: 0o644})
	return err
}

// digests maps the paths of all files to their digests.
func (s *Reload) digests(l host.Looker) (map[string]string, error) {
	digests := map[string]string{}
	for _, dir := range s.dirs {
		names, err := l.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			info, err := l.Stat(path)
			if err == nil && info.Mode.IsDir() {
				continue
			}
			if digests[path], err = l.Digest(path); err != nil {
				return nil, err
			}
		}
	}
	return digests, nil
}

func parseStamp(text string) map[string]string {
	digests := map[string]string{}
	for line := range strings.Lines(text) {
		digest, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		digests[path] = digest
	}
	return digests
}

// differences are the paths that are in one map only, or not the same in both.
func differences(a, b map[string]string) []string {
	changed := map[string]bool{}
	for path, digest := range a {
		if b[path] != digest {
			changed[path] = true
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			changed[path] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
