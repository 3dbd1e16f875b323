package provision

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"regctl/provision/host"
	"regctl/provision/step"
)

// aptRoot is this machine with apt and dpkg at work in a directory of their
// own: the real programs, which leave the machine as it was.
type aptRoot struct {
	host.Local
	dir string
}

func (a aptRoot) env(c host.Cmd) host.Cmd {
	env := map[string]string{"APT_CONFIG": a.dir + "/apt.conf", "DPKG_ADMINDIR": a.dir + "/tree/var/lib/dpkg"}
	for k, v := range c.Env {
		env[k] = v
	}
	c.Env = env
	return c
}

func (a aptRoot) Run(ctx context.Context, c host.Cmd) (string, error) {
	return a.Local.Run(ctx, a.env(c))
}

func (a aptRoot) Look(ctx context.Context, c host.Cmd) (string, error) {
	return a.Local.Look(ctx, a.env(c))
}

const testPackage = "regctl-test-hello"

// newAptRoot has an archive with one package, and nothing installed.
func newAptRoot(t *testing.T) aptRoot {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("dpkg installs packages only as root")
	}
	if _, err := os.Stat(aptGet); err != nil {
		t.Skipf("needs apt: %v", err)
	}
	dir := t.TempDir()
	root := dir + "/tree"
	for _, d := range []string{"tree/var/lib/dpkg/info", "tree/var/lib/dpkg/updates", "tree/var/lib/apt/lists/partial", "tree/var/cache/apt/archives/partial",
		"tree/var/log/apt", "tree/etc/apt/apt.conf.d", "tree/etc/apt/preferences.d", "tree/etc/apt/sources.list.d", "tree/etc/apt/trusted.gpg.d", "archive", "package/DEBIAN", "package/usr/share/" + testPackage} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	control := "Package: " + testPackage + "\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: for a test\n"
	write(t, dir+"/package/DEBIAN/control", control)
	write(t, dir+"/package/usr/share/"+testPackage+"/hello", "hello\n")
	deb := dir + "/archive/hello.deb"
	if out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", dir+"/package", deb).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/archive/Packages", fmt.Sprintf("%sFilename: ./hello.deb\nSize: %d\nSHA256: %x\n", control, len(content), sha256.Sum256(content)))
	write(t, root+"/etc/apt/sources.list", "deb [trusted=yes] file:"+dir+"/archive ./\n")
	write(t, root+"/var/lib/dpkg/status", "")
	write(t, dir+"/apt.conf", fmt.Sprintf(`Dir "%[1]s/";
Dir::State::status "%[1]s/var/lib/dpkg/status";
Dpkg::Options { "--root=%[1]s"; };
APT::Sandbox::User "root";
Acquire::http::Proxy "DIRECT";
Acquire::Languages "none";
`, root))
	return aptRoot{dir: dir}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lock takes a lock as apt does, with fcntl(2), until the function is called.
func (a aptRoot) lock(t *testing.T, name string) (unlock func()) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(a.dir, "tree", name), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { file.Close() })
}

func TestPackagesWithRealApt(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{"no lock": "", "lists": "var/lib/apt/lists/lock", "dpkg": "var/lib/dpkg/lock-frontend"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAptRoot(t)
			unlock := func() {}
			if lock != "" {
				unlock = a.lock(t, lock)
				t.Cleanup(unlock)
			}
			comm, err := os.ReadFile("/proc/self/comm")
			if err != nil {
				t.Fatal(err)
			}
			waited := false
			ctx := step.WithProgress(t.Context(), func(p step.Progress) {
				if strings.HasPrefix(p.Text, "waiting for apt (held by "+strings.TrimSpace(string(comm))+", ") {
					waited = true
					unlock()
				}
			})
			in := PackagesInput{EngineHost: "unix:///run/other.sock", Extra: []string{testPackage}, Record: a.dir + "/record"}
			s := NewPackages(in)
			for _, want := range []string{"create: not installed: " + testPackage, "keep: the engine is at unix:///run/other.sock"} {
				change, err := s.Check(ctx, a)
				if err != nil || change.String() != want {
					t.Fatalf("%v, %v; want %s", change, err, want)
				}
				if err := s.Apply(ctx, a); err != nil {
					t.Fatal(err)
				}
			}
			if waited != (lock != "") {
				t.Errorf("waited: %t", waited)
			}
			if text, err := os.ReadFile(a.dir + "/tree/usr/share/" + testPackage + "/hello"); string(text) != "hello\n" {
				t.Errorf("the package's file: %q, %v", text, err)
			}
			if names, err := InstalledPackages(host.Local{}, in.Record); err != nil || strings.Join(names, " ") != testPackage {
				t.Errorf("noted %q, %v", names, err)
			}
		})
	}
}

// TestRealAptErrors proves that the texts we look for are apt's.
func TestRealAptErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil      func(t *testing.T, a aptRoot)
		text, hint string
	}{
		"unknown package": {func(t *testing.T, a aptRoot) {
			write(t, a.dir+"/archive/Packages", "")
		}, "installing " + testPackage + ": running ", "have apt use the archives that hold them: on Ubuntu, add-apt-repository universe"},
		"no answer": {func(t *testing.T, a aptRoot) {
			// Port 1 of loopback: nobody listens there.
			write(t, a.dir+"/tree/etc/apt/sources.list", "deb [trusted=yes] http://127.0.0.1:1/debian ./\n")
		}, "nothing came from http://127.0.0.1:1: ", "check the network, /etc/apt/sources.list and http_proxy"},
		"package is gone": {func(t *testing.T, a aptRoot) {
			if err := os.Remove(a.dir + "/archive/hello.deb"); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.FileServer(http.Dir(a.dir + "/archive")))
			t.Cleanup(server.Close)
			write(t, a.dir+"/tree/etc/apt/sources.list", "deb [trusted=yes] "+server.URL+" ./\n")
		}, "nothing came from http://127.0.0.1:", "check the network, /etc/apt/sources.list and http_proxy"},
		"interrupted": {func(t *testing.T, a aptRoot) {
			write(t, a.dir+"/tree/var/lib/dpkg/updates/0001", "Package: x\nStatus: install ok half-installed\nVersion: 1\nArchitecture: all\n")
		}, "dpkg was interrupted", "repair it: dpkg --configure -a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAptRoot(t)
			c.spoil(t, a)
			in := PackagesInput{EngineHost: "unix:///run/other.sock", Extra: []string{testPackage}, Record: a.dir + "/record"}
			err := NewPackages(in).Apply(t.Context(), a)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v; want %q in it", err, c.text)
			}
			known, ok := errors.AsType[*PackageError](err)
			if !ok || known.Hint() != c.hint {
				t.Errorf("%v\nhint %+v, want %q", err, known, c.hint)
			}
		})
	}
}
