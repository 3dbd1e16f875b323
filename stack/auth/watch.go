package auth

import (
	"maps"
	"os"
)

// watcher notices changes of files by looking at them. That sees what inode
// watches miss: a file renamed away and written anew, a symlink swapped
// (Kubernetes), a directory mounted over.
type watcher struct {
	loaded  versions // as last loaded
	pending versions // as last looked at
}

// versions tells one version of each file from another; nil is missing.
type versions map[string]os.FileInfo

func newWatcher(path string) *watcher {
	seen := versions{path: look(path)}
	return &watcher{loaded: seen, pending: seen}
}

// watch adds files to look at, in the state they have now.
func (w *watcher) watch(files []string) {
	next := maps.Clone(w.loaded)
	for _, f := range files {
		if _, ok := next[f]; !ok {
			next[f] = look(f)
		}
	}
	w.loaded = next
}

// changed reports that a file changed and has then been still for a turn: an
// editor may still be writing the first time. It reports each change once. A
// missing file is no change: it is on its way.
func (w *watcher) changed() bool {
	now := versions{}
	for f := range w.loaded {
		if now[f] = look(f); now[f] == nil {
			return false
		}
	}
	still := now.equal(w.pending)
	w.pending = now
	if !still || now.equal(w.loaded) {
		return false
	}
	w.loaded = now
	return true
}

func look(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func (v versions) equal(other versions) bool {
	return maps.EqualFunc(v, other, func(a, b os.FileInfo) bool {
		if a == nil || b == nil {
			return a == b
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}
