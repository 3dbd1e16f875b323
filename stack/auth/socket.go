package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest address of a unix socket (unix(7): 108 bytes
// with the final NUL).
const maxSocketPath = 107

// SocketListener is a unix listener whose socket was moved into place.
type SocketListener struct {
	*net.UnixListener
	path   string
	socket fs.FileInfo
}

// Addr implements net.Listener.
func (l *SocketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close ends listening and removes the socket, unless another took its place.
func (l *SocketListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.socket) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// ListenUnix listens on the unix socket path, in a directory that is created with
// mode 0700. A socket that is in the way is replaced if nobody answers there;
// anything else is left alone and an error. mode is the socket's; 0 is what the
// process's umask makes it. Connecting takes the right to write (unix(7)).
// Closing the listener removes the socket.
func ListenUnix(path string, mode fs.FileMode) (*SocketListener, error) {
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
	made := filepath.Join(private, "s")
	addr, release, err := shortAddr(private, "/s")
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &SocketListener{UnixListener: l, path: path}
	if mode != 0 {
		err = os.Chmod(made, mode)
	}
	if err == nil {
		s.socket, err = os.Lstat(made)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
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
	conn, err := DialUnix(context.Background(), path)
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

// shortAddr returns an address for the socket path + rest. If that is too long
// for one, it leads through a descriptor of path, until release is called.
func shortAddr(path, rest string) (addr *net.UnixAddr, release func(), err error) {
	if len(path+rest) <= maxSocketPath {
		return &net.UnixAddr{Name: path + rest, Net: "unix"}, func() {}, nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	short := fmt.Sprintf("/proc/self/fd/%d%s", fd, rest)
	return &net.UnixAddr{Name: short, Net: "unix"}, func() { unix.Close(fd) }, nil
}

// DialUnix connects to the unix socket path, however long that is.
func DialUnix(ctx context.Context, path string) (net.Conn, error) {
	addr, release, err := shortAddr(path, "")
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, addr.Net, addr.Name)
}
