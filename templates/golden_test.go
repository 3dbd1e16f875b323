package templates_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"regctl/templates"
)

// The golden files are the first example whole, and of the others what differs
// from it. UPDATE=1 rewrites them.
func TestGolden(t *testing.T) {
	t.Parallel()
	base := rendered(t, minimal(), nil)
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			want := map[string]string{}
			for name, f := range rendered(t, e.data(), nil) {
				if e.name == "minimal" || !bytes.Equal(f.Content, base[name].Content) {
					want[name] = string(f.Content)
				}
			}
			compareTree(t, filepath.Join("testdata", e.name), want)
		})
	}
}

// rendered is what Render makes, by name.
func rendered(t *testing.T, d templates.Data, own func(string) ([]byte, bool)) map[string]templates.File {
	t.Helper()
	files, err := templates.Render(d, own)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]templates.File{}
	for _, f := range files {
		byName[f.Name] = f
	}
	return byName
}

// compareTree compares dir with files, or makes it so.
func compareTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			writeFile(t, filepath.Join(dir, name), text)
		}
	}
	have := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		have[name] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		golden, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if string(golden) != text {
			t.Errorf("%s/%s is not what is rendered now (UPDATE=1 rewrites it): %s", dir, name, firstDifference(string(golden), text))
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s/%s is not rendered, or is the same as in the first example (UPDATE=1 removes it)", dir, name)
	}
}

func firstDifference(golden, text string) string {
	a, b := strings.Split(golden, "\n"), strings.Split(text, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %q, was %q", i+1, b[i], a[i])
		}
	}
	return fmt.Sprintf("%d lines, were %d", len(b), len(a))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Nothing of a run, the environment or a random number may be in the files.
func TestRenderIsPure(t *testing.T) {
	t.Parallel()
	for _, e := range examples() {
		first, second := rendered(t, e.data(), nil), rendered(t, e.data(), nil)
		for name, f := range first {
			if !bytes.Equal(f.Content, second[name].Content) {
				t.Errorf("%s: %s differs from call to call", e.name, name)
			}
		}
	}
}

func TestNamesAreThoseOfAllFiles(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range examples() {
		for name := range rendered(t, e.data(), nil) {
			seen[name] = true
			if !slices.Contains(templates.Names(), name) {
				t.Errorf("Names lacks %s", name)
			}
		}
	}
	for _, name := range templates.Names() {
		if !seen[name] {
			t.Errorf("no example has %s", name)
		}
	}
}
