package hosttest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"regctl/provision/host"
)

// Behaviour tests what every [host.Machine] has in common. Each subtest calls
// open for a machine and an empty directory on it. The machine has the
// programs cat, printenv and false.
func Behaviour(t *testing.T, open func(t *testing.T) (m host.Machine, dir string)) {
	for name, test := range map[string]func(*testing.T, host.Machine, string){
		"write":    writes,
		"refuse":   refusals,
		"secret":   secrets,
		"mkdir":    directories,
		"remove":   removals,
		"trees":    trees,
		"listing":  listing,
		"space":    space,
		"copies":   copies,
		"owners":   owners,
		"commands": commands,
		"stars":    hides,
		"looker":   looksOnly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir := open(t)
			test(t, m, dir)
		})
	}
}

func writes(t *testing.T, m host.Machine, dir string) {
	path := filepath.Join(dir, "a [file].conf")
	for _, step := range []struct {
		name    string
		file    host.File
		changed bool
	}{
		{"create", host.File{Content: []byte("one"), Mode: 0o644}, true},
		{"again", host.File{Content: []byte("one"), Mode: 0o644}, false},
		{"same length", host.File{Content: []byte("two"), Mode: 0o644}, true},
		{"mode", host.File{Content: []byte("two"), Mode: 0o666}, true},
		{"mode again", host.File{Content: []byte("two"), Mode: 0o666}, false},
		{"empty", host.File{Content: []byte{}, Mode: 0o400}, true},
		{"from read-only", host.File{Content: []byte("three"), Mode: 0o600}, true},
	} {
		changed, err := m.WriteFile(path, step.file)
		if err != nil || changed != step.changed {
			t.Fatalf("%s: changed %t, %v; want %t", step.name, changed, err, step.changed)
		}
		got, err := m.ReadFile(path)
		if err != nil || string(got.Content) != string(step.file.Content) || got.Mode != step.file.Mode {
			t.Fatalf("%s: read %q %v, %v", step.name, got.Content, got.Mode, err)
		}
		info, err := m.Stat(path)
		if err != nil || info.Size != int64(len(step.file.Content)) || info.Mode != step.file.Mode {
			t.Fatalf("%s: stat %+v, %v", step.name, info, err)
		}
	}
}

func refusals(t *testing.T, m host.Machine, dir string) {
	good := host.File{Content: []byte("x"), Mode: 0o644}
	file := filepath.Join(dir, "file")
	if _, err := m.WriteFile(file, good); err != nil {
		t.Fatal(err)
	}
	write := func(path string, f host.File) error { _, err := m.WriteFile(path, f); return err }
	read := func(path string) error { _, err := m.ReadFile(path); return err }
	mkdir := func(path string, mode fs.FileMode) error { _, err := m.Mkdir(path, mode, host.Owner{}); return err }
	for name, err := range map[string]error{
		"relative write":       write("file", good),
		"dotted write":         write(dir+"/../file", good),
		"no mode":              write(file, host.File{Content: []byte("y")}),
		"setuid":               write(file, host.File{Mode: fs.ModeSetuid | 0o755}),
		"too big":              write(file, host.File{Content: make([]byte, host.MaxFile+1), Mode: 0o600}),
		"write on a directory": write(dir, good),
		"write under a file":   write(file+"/x", good),
		"relative read":        read("file"),
		"read a directory":     read(dir),
		"mkdir without mode":   mkdir(dir+"/d", 0),
		"mkdir on a file":      mkdir(file, 0o755),
		"relative mkdir":       mkdir("d", 0o755),
		"relative secret":      m.CreateSecret("s", host.NewSecret("x"), host.Owner{}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, err := range map[string]error{
		"write without a directory": write(dir+"/none/x", good),
		"mkdir without a directory": mkdir(dir+"/none/x", 0o755),
		"read nothing":              read(dir + "/none"),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
		}
	}
	if found, err := host.Exists(m, dir+"/none"); found || err != nil {
		t.Errorf("Exists of nothing: %t, %v", found, err)
	}
	if found, err := host.Exists(m, file); !found || err != nil {
		t.Errorf("Exists of a file: %t, %v", found, err)
	}
	if _, err := host.Exists(m, "file"); err == nil {
		t.Error("Exists of a relative path: no error")
	}
	if f, err := m.ReadFile(file); err != nil || string(f.Content) != "x" || f.Mode != 0o644 {
		t.Errorf("after all refusals the file is %q %v, %v", f.Content, f.Mode, err)
	}
}

func secrets(t *testing.T, m host.Machine, dir string) {
	path := filepath.Join(dir, "token.key")
	if err := m.CreateSecret(path, host.NewSecret("first"), host.Owner{}); err != nil {
		t.Fatal(err)
	}
	err := m.CreateSecret(path, host.NewSecret("second"), host.Owner{})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it again: %v, want fs.ErrExist", err)
	}
	if f, err := m.ReadFile(path); err != nil || string(f.Content) != "first" || f.Mode != 0o600 {
		t.Errorf("the file is %q %v, %v", f.Content, f.Mode, err)
	}
}

func directories(t *testing.T, m host.Machine, dir string) {
	path := filepath.Join(dir, "d")
	for _, step := range []struct {
		mode    fs.FileMode
		changed bool
	}{{0o777, true}, {0o777, false}, {0o750, true}, {0o750, false}} {
		changed, err := m.Mkdir(path, step.mode, host.Owner{})
		if err != nil || changed != step.changed {
			t.Fatalf("mkdir %v: changed %t, %v", step.mode, changed, err)
		}
		if info, err := m.Stat(path); err != nil || info.Mode != fs.ModeDir|step.mode {
			t.Fatalf("mkdir %v: stat %+v, %v", step.mode, info, err)
		}
	}
}

func removals(t *testing.T, m host.Machine, dir string) {
	sub := filepath.Join(dir, "d")
	file := filepath.Join(sub, "f")
	if _, err := m.Mkdir(sub, 0o755, host.Owner{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteFile(file, host.File{Content: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Remove(sub); err == nil {
		t.Error("removing a directory that is not empty: no error")
	}
	if _, err := m.Remove("d"); err == nil {
		t.Error("removing a relative path: no error")
	}
	for _, path := range []string{file, sub} {
		for _, want := range []bool{true, false} {
			if changed, err := m.Remove(path); err != nil || changed != want {
				t.Errorf("removing %s: changed %t, %v; want %t", path, changed, err, want)
			}
		}
		if found, err := host.Exists(m, path); found || err != nil {
			t.Errorf("%s after its removal: %t, %v", path, found, err)
		}
	}
}

func trees(t *testing.T, m host.Machine, dir string) {
	sub := filepath.Join(dir, "d")
	beside := filepath.Join(dir, "d2")
	for _, d := range []string{sub, filepath.Join(sub, "e"), beside} {
		if _, err := m.Mkdir(d, 0o755, host.Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.WriteFile(filepath.Join(sub, "e", "f"), host.File{Content: []byte("x"), Mode: 0o400}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/srv", "relative/path", dir + "/../d"} {
		if _, err := m.RemoveAll(path); err == nil {
			t.Fatalf("RemoveAll(%q): no error", path)
		}
	}
	for _, want := range []bool{true, false} {
		if changed, err := m.RemoveAll(sub); err != nil || changed != want {
			t.Errorf("removing the tree: changed %t, %v; want %t", changed, err, want)
		}
	}
	for path, want := range map[string]bool{sub: false, beside: true} {
		if found, err := host.Exists(m, path); found != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", path, found, err, want)
		}
	}
}

func listing(t *testing.T, m host.Machine, dir string) {
	for _, name := range []string{"b", "a"} {
		if _, err := m.WriteFile(filepath.Join(dir, name), host.File{Content: []byte("abc"), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Mkdir(filepath.Join(dir, "c"), 0o755, host.Owner{}); err != nil {
		t.Fatal(err)
	}
	if names, err := m.ReadDir(dir); err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("names %q, %v", names, err)
	}
	if names, err := m.ReadDir(dir + "/c"); err != nil || len(names) != 0 {
		t.Errorf("names in an empty directory %q, %v", names, err)
	}
	// The SHA-256 of "abc": FIPS 180-2, appendix B.1.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got, err := m.Digest(dir + "/a"); err != nil || got != abc {
		t.Errorf("digest %s, %v", got, err)
	}
	for what, call := range map[string]func(string) error{
		"ReadDir": func(path string) error { _, err := m.ReadDir(path); return err },
		"Digest":  func(path string) error { _, err := m.Digest(path); return err },
	} {
		if err := call(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of nothing: %v, want fs.ErrNotExist", what, err)
		}
		if err := call("relative"); err == nil {
			t.Errorf("%s of a relative path: no error", what)
		}
	}
	if _, err := m.ReadDir(dir + "/a"); err == nil {
		t.Error("ReadDir of a file: no error")
	}
	if _, err := m.Digest(dir); err == nil {
		t.Error("Digest of a directory: no error")
	}
}

func copies(t *testing.T, m host.Machine, dir string) {
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, step := range []struct {
		name    string
		content string
		mode    fs.FileMode
		changed bool
	}{
		{"create", "one", 0o755, true},
		{"again", "one", 0o755, false},
		{"same length", "two", 0o755, true},
		{"mode", "two", 0o700, true},
		{"mode again", "two", 0o700, false},
		{"empty", "", 0o755, true},
	} {
		if _, err := m.WriteFile(from, host.File{Content: []byte(step.content), Mode: 0o640}); err != nil {
			t.Fatal(err)
		}
		changed, err := m.CopyFile(from, to, step.mode, host.Owner{})
		if err != nil || changed != step.changed {
			t.Fatalf("%s: changed %t, %v; want %t", step.name, changed, err, step.changed)
		}
		if got, err := m.ReadFile(to); err != nil || string(got.Content) != step.content || got.Mode != step.mode {
			t.Fatalf("%s: the copy is %q %v, %v", step.name, got.Content, got.Mode, err)
		}
	}
	if changed, err := m.CopyFile(to, to, 0o755, host.Owner{}); err != nil || changed {
		t.Errorf("onto itself: changed %t, %v", changed, err)
	}
	if _, err := m.CopyFile(dir+"/none", to, 0o755, host.Owner{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v, want fs.ErrNotExist", err)
	}
	for name, call := range map[string]func() (bool, error){
		"a relative path": func() (bool, error) { return m.CopyFile(from, "to", 0o755, host.Owner{}) },
		"no mode":         func() (bool, error) { return m.CopyFile(from, to, 0, host.Owner{}) },
		"on a directory":  func() (bool, error) { return m.CopyFile(from, dir, 0o755, host.Owner{}) },
		"of a directory":  func() (bool, error) { return m.CopyFile(dir, to, 0o755, host.Owner{}) },
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if names, err := m.ReadDir(dir); err != nil || !slices.Equal(names, []string{"from", "to"}) {
		t.Errorf("after all there are %q, %v", names, err)
	}
}

// owners needs root on a real machine.
func owners(t *testing.T, m host.Machine, dir string) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	other := host.Owner{UID: 101, GID: 102}
	file, sub, secret := filepath.Join(dir, "f"), filepath.Join(dir, "d"), filepath.Join(dir, "s")
	if err := m.CreateSecret(secret, host.NewSecret("x"), other); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		owner   host.Owner
		changed bool
	}{{host.Owner{}, true}, {other, true}, {other, false}, {host.Owner{}, true}, {other, true}} {
		wrote, err := m.WriteFile(file, host.File{Content: []byte("x"), Mode: 0o640, Owner: step.owner})
		if wrote != step.changed || err != nil {
			t.Errorf("file of %v: changed %t, %v", step.owner, wrote, err)
		}
		made, err := m.Mkdir(sub, 0o750, step.owner)
		if made != step.changed || err != nil {
			t.Errorf("directory of %v: changed %t, %v", step.owner, made, err)
		}
		for _, path := range []string{file, sub} {
			if info, err := m.Stat(path); err != nil || info.Owner != step.owner {
				t.Errorf("%s: owner %v, %v; want %v", path, info.Owner, err, step.owner)
			}
		}
	}
	if f, err := m.ReadFile(secret); err != nil || f.Owner != other || f.Mode != 0o600 {
		t.Errorf("the secret is %v %v, %v", f.Owner, f.Mode, err)
	}
}

func commands(t *testing.T, m host.Machine, _ string) {
	ctx := t.Context()
	for how, call := range map[string]func(context.Context, host.Cmd) (string, error){"look": m.Look, "run": m.Run} {
		out, err := call(ctx, host.Cmd{Argv: []string{"cat"}, Stdin: host.NewSecret("a\nb")})
		if out != "a\nb" || err != nil {
			t.Errorf("%s cat: %q, %v", how, out, err)
		}
		out, err = call(ctx, host.Cmd{Argv: []string{"printenv", "A"}, Env: map[string]string{"A": "x y"}})
		if strings.TrimSpace(out) != "x y" || err != nil {
			t.Errorf("%s printenv: %q, %v", how, out, err)
		}
		_, err = call(ctx, host.Command("false"))
		if failed, ok := errors.AsType[*host.CmdError](err); !ok || failed.Status != 1 || host.ExitStatus(err) != 1 || failed.Cmd != "false" {
			t.Errorf("%s false: %v", how, err)
		}
		if _, err = call(ctx, host.Cmd{}); err == nil {
			t.Errorf("%s nothing: no error", how)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if _, err = call(ended, host.Command("cat")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the end: %v", how, err)
		}
	}
}

// hides proves that a failing command does not show its secrets, although
// its program prints them.
func hides(t *testing.T, m host.Machine, _ string) {
	const secret = "correct horse"
	_, err := m.Run(t.Context(), host.Cmd{
		Argv:      []string{"cat", "-", "/no/such/file"},
		SecretEnv: map[string]host.Secret{"PASSWORD": host.NewSecret("battery")},
		Stdin:     host.NewSecret("plain\n" + secret + "\nbattery"),
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, hidden := range []string{secret, "battery"} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("the error shows %q: %v", hidden, err)
		}
	}
	for _, shown := range []string{"PASSWORD=***", "cat - /no/such/file < ***", "\n***"} {
		if !strings.Contains(err.Error(), shown) {
			t.Errorf("the error lacks %q: %v", shown, err)
		}
	}
}

func looksOnly(t *testing.T, m host.Machine, dir string) {
	l := m.Looker()
	if _, ok := l.(host.Machine); ok {
		t.Error("the looker is a Machine")
	}
	for _, ok := range []bool{
		can[interface {
			WriteFile(string, host.File) (bool, error)
		}](l),
		can[interface {
			CreateSecret(string, host.Secret, host.Owner) error
		}](l),
		can[interface {
			Mkdir(string, fs.FileMode, host.Owner) (bool, error)
		}](l),
		can[interface {
			CopyFile(string, string, fs.FileMode, host.Owner) (bool, error)
		}](l),
		can[interface{ Remove(string) (bool, error) }](l),
		can[interface {
			RemoveAll(string) (bool, error)
		}](l),
		can[interface {
			Run(context.Context, host.Cmd) (string, error)
		}](l),
	} {
		if ok {
			t.Errorf("%T has a method that changes the host", l)
		}
	}
	if _, err := m.WriteFile(dir+"/f", host.File{Content: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if f, err := l.ReadFile(dir + "/f"); err != nil || string(f.Content) != "x" {
		t.Errorf("the looker reads %q, %v", f.Content, err)
	}
}

func can[T any](l host.Looker) bool { _, ok := l.(T); return ok }
