package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest address of a unix socket (unix(7): 108 bytes
// with the final NUL).
const maxSocketPath = 107

// ListenAdmin listens on the unix socket path, which only its owner and root
// may open: mode 0600, in a directory that is created with mode 0700. A socket
// that is in the way is replaced if nobody answers there; anything else is left
// alone and an error. Closing the listener removes the socket.
func ListenAdmin(path string) (net.Listener, error) {
	l, err := listenAdmin(path)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return l, nil
}

func listenAdmin(path string) (net.Listener, error) {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o700); err != nil {
		return nil, err
	}
	if err := nobodyAnswers(path); err != nil {
		return nil, err
	}
	// The socket is made in a directory of its own, which nobody else can enter,
	// and moved into place when its mode is right: it is never open to all, and
	// never missing while it replaces a dead one.
	private, err := os.MkdirTemp(filepath.Clean(dir), "."+name+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, name)
	addr, release, err := socketAddr(made)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	a := &adminListener{UnixListener: l, path: path}
	if err = os.Chmod(made, 0o600); err == nil {
		a.socket, err = os.Lstat(made)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return a, nil
}

// nobodyAnswers returns nil if path is free, or a socket that refuses
// connections: what a killed server leaves behind.
func nobodyAnswers(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is no socket is in the way")
	}
	conn, err := dialSocket(context.Background(), path)
	switch {
	case err == nil:
		conn.Close()
		return errors.New("another server answers there")
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	default:
		return fmt.Errorf("cannot tell if another server answers there: %w", err)
	}
}

// socketAddr returns an address for the socket path. A path that is too long
// for one is reached through a descriptor of its directory, until release is
// called.
func socketAddr(path string) (addr *net.UnixAddr, release func(), err error) {
	if len(path) <= maxSocketPath {
		return &net.UnixAddr{Name: path, Net: "unix"}, func() {}, nil
	}
	dir, name := filepath.Split(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", fd, name)
	return &net.UnixAddr{Name: short, Net: "unix"}, func() { unix.Close(fd) }, nil
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	addr, release, err := socketAddr(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, addr.Net, addr.Name)
}

// adminListener accepts connections that know who is at the other end.
type adminListener struct {
	*net.UnixListener
	path   string
	socket fs.FileInfo
}

func (l *adminListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &adminConn{UnixConn: conn, peer: readPeer(conn)}, nil
}

func (l *adminListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close ends listening and removes the socket, unless another took its place.
func (l *adminListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.socket) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// adminConn tells its peer as the remote address.
type adminConn struct {
	*net.UnixConn
	peer peer
}

func (c *adminConn) RemoteAddr() net.Addr { return c.peer }

// peer names the user at the other end: "uid N", or "unknown peer".
type peer string

func (p peer) Network() string { return "unix" }
func (p peer) String() string  { return string(p) }

// readPeer asks the kernel who connected (unix(7), SO_PEERCRED).
func readPeer(conn *net.UnixConn) peer {
	raw, err := conn.SyscallConn()
	if err != nil {
		return "unknown peer"
	}
	var cred *unix.Ucred
	control := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if errors.Join(control, err) != nil {
		return "unknown peer"
	}
	return peer(fmt.Sprintf("uid %d", cred.Uid))
}

func peerUID(remote string) (int, bool) {
	text, found := strings.CutPrefix(remote, "uid ")
	uid, err := strconv.Atoi(text)
	return uid, found && err == nil
}

func mayAdminister(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// ServeAdmin serves the admin API on the unix socket path until stop is called,
// which lets operations under way finish.
func (s *Server) ServeAdmin(path string) (stop func(), err error) {
	l, err := ListenAdmin(path)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{
		Handler:           s.AdminHandler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(logWriter{s.log}, "", 0),
	}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the admin socket failed", "path", path, "error", err)
		}
	}()
	return func() { shutdown(srv) }, nil
}
