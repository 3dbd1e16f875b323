package auth

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// adminServer serves the admin API of s and returns a client of it.
func adminServer(t testing.TB, s *Server) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "admin.sock")
	stop, err := s.ServeAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return NewClient(path)
}

func TestAdminSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "admin.sock")
	l, err := ListenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if info, err := os.Lstat(file); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", file, info.Mode(), err, want)
		}
	}
	if l.Addr().String() != path {
		t.Errorf("address %s", l.Addr())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAdminSocketTaken(t *testing.T) {
	s, _ := storedServer(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	stop, err := s.ServeAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := ListenAdmin(path); err == nil || !strings.HasSuffix(err.Error(), "admin.sock: another server answers there") {
		t.Errorf("a second server: %v", err)
	}
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestAdminSocketStale(t *testing.T) {
	s, _ := storedServer(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // what kill -9 leaves
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNoServer) {
		t.Fatalf("a dead socket: %v", err)
	}
	stop, err := s.ServeAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAdminSocketSuccessor: a server that ends late leaves the socket of the
// next one alone.
func TestAdminSocketSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := ListenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := ListenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestAdminSocketInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenAdmin(path); err == nil || !strings.HasSuffix(err.Error(), "a file that is no socket is in the way") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q", text)
	}
}

func TestAdminSocketLongPath(t *testing.T) {
	s, _ := storedServer(t)
	for _, length := range []int{maxSocketPath, maxSocketPath + 1, 300} {
		dir := t.TempDir()
		path := filepath.Join(dir, strings.Repeat("d", (length-len(dir)-2)/2), strings.Repeat("s", (length-len(dir)-1)/2))
		stop, err := s.ServeAdmin(path)
		if err != nil {
			t.Errorf("%d bytes: %v", len(path), err)
			continue
		}
		if _, err := NewClient(path).Status(t.Context()); err != nil {
			t.Errorf("%d bytes: %v", len(path), err)
		}
		if _, err := ListenAdmin(path); err == nil {
			t.Errorf("%d bytes: replaced a living server", len(path))
		}
		stop()
	}
}

// TestAdminPeer connects as another user, to a socket that was opened to all.
func TestAdminPeer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can connect as another user")
	}
	s, _ := storedServer(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	stop, err := s.ServeAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, file := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(file, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	c := NewClient(path)
	c.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dialAs(65534, path) }}
	var refused *AdminError
	if _, err := c.Users(t.Context()); !errors.As(err, &refused) || refused.Message != "uid 65534 may not administer this server" {
		t.Errorf("uid 65534: %v", err)
	}
	if _, err := NewClient(path).Users(t.Context()); err != nil {
		t.Errorf("root: %v", err)
	}
}

// dialAs connects with another effective user. The raw call changes it for one
// thread, which ends with the goroutine.
func dialAs(uid int, path string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			err = errno
			return
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

// TestAdminHandlerOffSocket: mounted elsewhere by mistake, the API obeys nobody.
func TestAdminHandlerOffSocket(t *testing.T) {
	s, _ := storedServer(t)
	for _, remote := range []string{"127.0.0.1:4711", "", "@", "uid", "uid x", "uid -1", "uid 65534", "unknown peer"} {
		r := httptest.NewRequest("POST", "/v1/user/list", strings.NewReader("{}"))
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		s.AdminHandler().ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "waldi") {
			t.Errorf("from %q: %d %s", remote, w.Code, w.Body)
		}
	}
}

func TestClientErrors(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.sock")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	answering := &http.Server{Handler: http.NotFoundHandler()}
	go answering.Serve(l)
	defer answering.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.sock"):                            "no server answers at " + filepath.Join(dir, "none.sock"),
		filepath.Join(dir, "none", "admin.sock"):                   "no server answers at " + filepath.Join(dir, "none", "admin.sock"),
		filepath.Join(file, "admin.sock"):                          "no server answers at " + filepath.Join(file, "admin.sock"),
		filepath.Join(dir, strings.Repeat("x", 150), "admin.sock"): "no server answers at " + filepath.Join(dir, strings.Repeat("x", 150), "admin.sock"),
		file:  "no server answers at " + file,
		other: other + " answers 404 Not Found and is no admin socket of regctl",
	} {
		if _, err := NewClient(path).Status(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
