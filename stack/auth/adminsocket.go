package auth

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ListenAdmin listens on the unix socket path as [ListenUnix] does, and lets only
// its owner and root open it (mode 0600). Connections know who is at the other
// end.
func ListenAdmin(path string) (net.Listener, error) {
	l, err := ListenUnix(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return &adminListener{l}, nil
}

// adminListener accepts connections that know who is at the other end.
type adminListener struct{ *SocketListener }

func (l *adminListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &adminConn{UnixConn: conn, peer: readPeer(conn)}, nil
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
