package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The house rules, as the Layout table of the README shows them. Each area
// lists the areas it may import; an area is a directory with all below it,
// except what is an area of its own.
func areas() map[string][]string {
	leaves := []string{"provision/step", "provision/host"}
	stack := append(leaves, "stack/auth", "stack/auth/store")
	return map[string][]string{
		"cmd": {"provision", "provision/step", "provision/host", "firewall", "certs", "templates",
			"stack", "stack/auth", "stack/auth/store", "stack/embedded", "stack/swarm"},
		"provision": {"provision/step", "provision/host", "firewall", "certs", "templates",
			"stack", "stack/auth", "stack/auth/store", "stack/embedded", "stack/swarm"},
		"provision/step":   {"provision/host"},
		"provision/host":   {},
		"firewall":         leaves,
		"certs":            leaves,
		"templates":        leaves,
		"stack":            leaves,
		"stack/auth":       {"stack/auth/store"},
		"stack/auth/store": {},
		"stack/embedded":   stack,
		"stack/swarm":      stack,
	}
}

// Directories at the top that are no area. bin is what make build writes.
func otherDirectories() []string { return []string{"examples", "bin"} }

// Names of directories that would say nothing about what is in them.
func namelessDirectories() []string {
	return []string{"pkg", "util", "utils", "common", "helpers", "misc"}
}

type pkg struct {
	ImportPath string
	Imports    []string // of production code, not of tests
}

const module = "regctl"

// violations checks packages and directories, both relative to the module,
// and says what is against the rules.
func violations(pkgs []pkg, dirs []string) []string {
	var out []string
	for _, p := range pkgs {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			if why := forbidden(from, imported); why != "" {
				out = append(out, fmt.Sprintf("%s imports %s: %s", from, strings.TrimPrefix(imported, module+"/"), why))
			}
		}
	}
	allowed := slices.Concat(slices.Collect(maps.Keys(areas())), otherDirectories())
	for _, d := range dirs {
		if slices.Contains(namelessDirectories(), filepath.Base(d)) {
			out = append(out, fmt.Sprintf("directory %s: the name says nothing; put the code where it is used", d))
		}
		if !strings.Contains(d, "/") && !slices.Contains(allowed, d) {
			out = append(out, fmt.Sprintf("directory %s: not in the layout", d))
		}
	}
	return out
}

// forbidden says why a package may not have an import; "" if it may.
func forbidden(from, imported string) string {
	switch imported {
	case "github.com/spf13/cobra":
		if area(from) != "cmd" {
			return "cobra belongs into cmd"
		}
	case "os/exec":
		// Stack talks to container engines. The tools beside cmd/regctl and
		// what is for tests are not part of the product.
		product := area(from) != "cmd" || from == "cmd/regctl"
		if product && !testSupport(from) && area(from) != "provision/host" && area(from) != "stack" {
			return "programs are run by provision/host"
		}
	}
	to, ours := strings.CutPrefix(imported, module+"/")
	switch {
	case !ours:
		return ""
	case testSupport(to) && !testSupport(from):
		return "it is for tests"
	case area(from) == area(to) || slices.Contains(areas()[area(from)], area(to)):
		return ""
	}
	return fmt.Sprintf("%s may import %s", area(from), strings.Join(append([]string{"itself"}, areas()[area(from)]...), ", "))
}

// testSupport reports whether a package is named like httptest: cmd holds
// programs, which nobody imports.
func testSupport(dir string) bool {
	return area(dir) != "cmd" && strings.HasSuffix(dir, "test")
}

// area finds the area of a package, or its first directory if it is in none.
func area(dir string) string {
	for d := dir; d != "."; d = filepath.Dir(d) {
		if _, ok := areas()[d]; ok {
			return d
		}
	}
	first, _, _ := strings.Cut(dir, "/")
	return first
}

func TestHouse(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	pkgs, dirs := packages(t, root), directories(t, root)
	if len(pkgs) < 3 || !slices.Contains(dirs, "cmd") {
		t.Fatalf("found only %d packages, directories %q", len(pkgs), dirs)
	}
	for _, v := range violations(pkgs, dirs) {
		t.Error(v)
	}
}

func packages(t *testing.T, root string) []pkg {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = root
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// directories lists those below root, without dot directories.
func directories(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == "." {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		dirs = append(dirs, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func TestHouseRules(t *testing.T) {
	t.Parallel()
	arrow := func(from, to string) []pkg {
		return []pkg{{ImportPath: module + "/" + from, Imports: []string{"fmt", to}}}
	}
	const cobra, ours = "github.com/spf13/cobra", module + "/"
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"cmd/regctl", ours + "provision", true},
		{"cmd/regctl", ours + "stack/embedded", true},
		{"cmd/regctl", cobra, true},
		{"provision", ours + "firewall", true},
		{"provision", ours + "stack/swarm", true},
		{"firewall", ours + "provision/step", true},
		{"certs", ours + "provision/host", true},
		{"provision/step", ours + "provision/host", true},
		{"provision/host", "os/exec", true},
		{"stack", "os/exec", true},
		{"cmd/bench", "os/exec", true},
		{"stack/auth", ours + "stack/auth/store", true},
		{"stack/embedded", ours + "stack/auth", true},
		{"stack/swarm", ours + "stack/auth/store", true},
		{"stack/auth/store/storetest", ours + "stack/auth/store", true},
		{"cmd/testsum", ours + "provision/host", true},

		{"provision", ours + "cmd/regctl", false},
		{"provision/step", ours + "provision", false},
		{"provision/host", ours + "provision/step", false},
		{"provision/host", ours + "provision", false},
		{"firewall", ours + "certs", false},
		{"firewall", ours + "provision", false},
		{"certs", ours + "stack/auth", false},
		{"templates", ours + "stack", false},
		{"stack", ours + "stack/auth", false},
		{"stack", ours + "stack/embedded", false},
		{"stack/auth", ours + "stack", false},
		{"stack/auth", ours + "provision/host", false},
		{"stack/auth", ours + "certs", false},
		{"stack/auth/store", ours + "stack/auth", false},
		{"stack/embedded", ours + "stack/swarm", false},
		{"stack/embedded", ours + "stack", false},
		{"stack/embedded", ours + "certs", false},
		{"provision", ours + "provision/host/hosttest", false},
		{"stack/auth", ours + "stack/auth/store/storetest", false},
		{"examples/demo", ours + "certs", false},
		{"provision", cobra, false},
		{"stack/auth", cobra, false},
		{"provision", "os/exec", false},
		{"cmd/regctl", "os/exec", false},
		{"stack/auth", "os/exec", false},
		{"stack/embedded", "os/exec", false},
	} {
		got := violations(arrow(c.from, c.to), nil)
		if c.ok && len(got) != 0 || !c.ok && (len(got) != 1 || !strings.HasPrefix(got[0], c.from+" imports ")) {
			t.Errorf("%s imports %s: want ok %t, got %q", c.from, c.to, c.ok, got)
		}
	}
	for dir, ok := range map[string]bool{
		"cmd": true, "provision/host": true, "examples": true, "examples/demo": true, "cmd/regctl/testdata": true, "bin": true,
		"pkg": false, "internal": false, "tools": false, "certs/util": false, "stack/auth/common": false, "src": false,
	} {
		if got := violations(nil, []string{dir}); (len(got) == 0) != ok {
			t.Errorf("directory %s: want ok %t, got %q", dir, ok, got)
		}
	}
}
