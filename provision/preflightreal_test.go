package provision

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"regctl/provision/host"
)

// portsOf asks the real host about one port, and returns what it says.
func portsOf(t *testing.T, port int) Finding {
	t.Helper()
	in := PreflightInput{Dir: "/srv/regctl", HTTPPort: port, HTTPSPort: port}
	found := in.checkPorts(t.Context(), host.Local{}.Looker())
	return found[0]
}

func TestPortsNameTheRealProcess(t *testing.T) {
	t.Parallel()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::]:0"} {
		l, err := net.Listen(network, address)
		if errors.Is(err, unix.EAFNOSUPPORT) && os.Getenv("CI") == "" {
			t.Logf("%s: %v", network, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		want := fmt.Sprintf("%d is held by %s (pid %d)", port, strings.TrimSpace(string(comm)), os.Getpid())
		if f := portsOf(t, port); f.Level != LevelError || f.Detail != want {
			t.Errorf("%s: %+v, want %s", network, f, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if f := portsOf(t, port); f.Level != LevelOK {
			t.Errorf("%s, closed: %+v", network, f)
		}
	}
}

// TestPortsOfAnotherNamespace: what listens in another network namespace, as
// in a container, does not hold a port of this one.
func TestPortsOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a network namespace can only be made by root")
	}
	var l net.Listener
	var err error
	onLostThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp4", "0.0.0.0:1") // a port that nobody uses on a host
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if f := portsOf(t, l.Addr().(*net.TCPAddr).Port); f.Level != LevelOK {
		t.Errorf("%+v", f)
	}
}

// onLostThread runs f on a thread that nothing else will run on. It is not the
// first one, whose namespaces /proc/self shows as those of the process.
func onLostThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // left locked, so that the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			onLostThread(f) // on another one while this one waits
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// TestAptLockOfRealProcess takes a lock of apt's for as long as the check looks.
// It does not lock: a process that merely has the file open is at work or waits.
func TestAptLockOfRealProcess(t *testing.T) {
	t.Parallel()
	file, err := os.OpenFile("/var/lib/dpkg/lock-frontend", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("needs root on a Debian: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found, err := whoHas(host.Local{}.Looker(), func(f string) bool { return f == file.Name() })
	mine := func() bool {
		for _, p := range found {
			if p.pid == os.Getpid() {
				return true
			}
		}
		return false
	}
	if err != nil || !mine() {
		t.Errorf("%v, %v", found, err)
	}
	if f := checkAptLock(t.Context(), host.Local{}.Looker()); f[0].Level != LevelWarning {
		t.Errorf("%+v", f)
	}
}

// TestPreflightOfThisHost: whatever this host is, every check has an answer.
func TestPreflightOfThisHost(t *testing.T) {
	t.Parallel()
	in := goodInput()
	in.Dir, in.Resolve, in.Addresses = t.TempDir()+"/registry", nil, nil
	in.Hosts = []string{"localhost"}
	results, err := RunPreflight(t.Context(), host.Local{}.Looker(), PreflightChecks(in), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range results {
		seen[r.Name] = true
		if r.Detail == "" || strings.Contains(r.Detail, "cannot tell") || r.Name == "dns" && !strings.Contains(r.Detail, "localhost is ") {
			t.Errorf("%+v", r)
		}
	}
	for _, c := range PreflightChecks(in) {
		if !seen[c.Name] {
			t.Errorf("%s found nothing", c.Name)
		}
	}
}
