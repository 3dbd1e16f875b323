package templates_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"regctl/templates"
)

const patience = 90 * time.Second

// nginxes are the programs to test with: this machine's, and those that
// REGCTL_TEST_NGINX lists, separated by colons.
func nginxes(t *testing.T) map[string]string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("nginx becomes another user, which takes root")
	}
	programs := filepath.SplitList(os.Getenv("REGCTL_TEST_NGINX"))
	// Where Debian has it, and only root looks by itself.
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			programs = append(programs, path)
			break
		}
	}
	if len(programs) == 0 {
		t.Skip("no nginx on this machine")
	}
	byVersion := map[string]string{}
	for _, program := range programs {
		said, err := exec.Command(program, "-v").CombinedOutput()
		found := regexp.MustCompile(`nginx/([\d.]+)`).FindSubmatch(said)
		if err != nil || found == nil {
			t.Fatalf("%s -v: %v %s", program, err, said)
		}
		byVersion[string(found[1])] = program
	}
	return byVersion
}

// worker is a user for nginx's workers.
func worker(t *testing.T) (name string, uid int) {
	t.Helper()
	for _, name := range []string{"nginx", "www-data"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err := strconv.Atoi(u.Uid)
			if err != nil {
				t.Fatal(err)
			}
			return name, uid
		}
	}
	t.Fatal("neither a user nginx nor www-data")
	return "", 0
}

// install writes the files of d and all that nginx needs beside them into a new
// directory, with certificates for key, and returns d with the directory,
// version and user in it.
func install(t *testing.T, d templates.Data, version string, ca *authority, key crypto.Signer) templates.Data {
	t.Helper()
	d = inTemp(t, d)
	d.NginxVersion = version
	d.NginxUser, d.UID = worker(t)
	dir := d.Dir
	// As the container's tmpfs.
	err := os.Chown(filepath.Join(dir, "run", "nginx"), d.UID, d.UID)
	if err == nil {
		err = os.Chmod(filepath.Join(dir, "run", "nginx"), 0o777)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range d.Hosts() {
		writeFile(t, filepath.Join(dir, "certs", "live", host+".pem"), ca.certify(t, host, key))
	}
	params, err := os.ReadFile("testdata/dhparams.pem")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "certs", "live", "dhparams.pem"), string(params))
	for name, f := range rendered(t, d, nil) {
		if filepath.Dir(name) == "nginx" {
			// Tests are not for the network to see.
			listen := regexp.MustCompile(`\blisten (\d+)`)
			writeFile(t, f.Path, listen.ReplaceAllString(string(f.Content), "listen 127.0.0.1:$1"))
		}
	}
	return d
}

func nginx(program string, d templates.Data, args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"-c", filepath.Join(d.Dir, "nginx", "nginx.conf")}, args...)...)
}

// running is an nginx that serves.
type running struct {
	templates.Data
	t         *testing.T
	ca        *authority
	log, errs string // files
}

// serve starts nginx on ports that are free, with certificates as they are
// today.
func serve(t *testing.T, d templates.Data, version, program string) *running {
	t.Helper()
	return serveWith(t, d, version, program, newKey(t))
}

// serveWith is serve with certificates for key.
func serveWith(t *testing.T, d templates.Data, version, program string, key crypto.Signer) *running {
	t.Helper()
	ca := newAuthority(t)
	for try := 1; ; try++ {
		d.HTTPPort, d.HTTPSPort = freePort(t), freePort(t)
		r := &running{Data: install(t, d, version, ca, key), t: t, ca: ca}
		if r.start(program) {
			return r
		}
		if said := r.errors(); try == 5 || !strings.Contains(said, "Address already in use") {
			t.Fatalf("nginx does not start: %s", said)
		}
	}
}

// start reports whether nginx serves.
func (r *running) start(program string) bool {
	r.t.Helper()
	cmd := nginx(program, r.Data, "-g", "daemon off;")
	r.log, r.errs = filepath.Join(r.Dir, "out"), filepath.Join(r.Dir, "err")
	var files [2]*os.File
	for i, path := range []string{r.log, r.errs} {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			r.t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it has to say is in the file
		close(ended)
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	})
	for over := time.Now().Add(patience); time.Now().Before(over); {
		select {
		case <-ended:
			return false
		default:
		}
		conn, err := net.Dial("tcp", r.addr(r.HTTPSPort))
		if err == nil {
			conn.Close()
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("nginx does not answer: %s", r.errors())
	return false
}

func (r *running) addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (r *running) errors() string {
	text, err := os.ReadFile(r.errs)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// client believes the test's authority and finds every name at this nginx. It
// follows no redirections.
func (r *running) client(http2 bool) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: http2,
		TLSClientConfig:   &tls.Config{RootCAs: r.ca.pool()},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// backend serves at one of the sockets until the test is over or it is stopped.
func (r *running) backend(name string, handler http.Handler) (stop func()) {
	r.t.Helper()
	return r.backendServer(name, &http.Server{Handler: handler})
}

func (r *running) backendServer(name string, server *http.Server) (stop func()) {
	r.t.Helper()
	path := filepath.Join(r.Dir, "run", name, name+".sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(ln) // http.ErrServerClosed
		close(done)
	}()
	stop = func() { server.Close(); <-done }
	r.t.Cleanup(stop)
	return stop
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
