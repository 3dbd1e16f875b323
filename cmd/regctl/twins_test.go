package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/certs"
)

// containerUser is whom the containers run as.
const containerUser = 101

// daemon is a process of regctl.
type daemon struct {
	t      *testing.T
	args   []string
	cmd    *exec.Cmd
	stdout syncBuffer
	stderr syncBuffer
	ended  chan struct{} // closed when the process is gone
	err    error         // then: how it ended
}

// daemonOf starts regctl as user and waits until its log says that it serves.
func daemonOf(t *testing.T, program string, user uint32, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, args: args, ended: make(chan struct{})}
	d.cmd = &exec.Cmd{Path: program, Args: append([]string{"regctl"}, args...), Dir: "/", Stdout: &d.stdout, Stderr: &d.stderr}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(d.kill)
	serving := regexp.MustCompile(`msg="?[sS]erving`)
	if err := eventually("serving", func() bool {
		select {
		case <-d.ended:
			t.Fatalf("regctl %s ended: %v\n%s", strings.Join(args, " "), d.err, &d.stderr)
		default:
		}
		return serving.MatchString(d.stderr.String())
	}); err != nil {
		t.Fatalf("%v\n%s", err, &d.stderr)
	}
	return d
}

// stop ends the process as an engine does; it must end well.
func (d *daemon) stop() {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.ended
	if d.err != nil {
		d.t.Errorf("regctl %s: %v\n%s", strings.Join(d.args, " "), d.err, &d.stderr)
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// tlsCA issues the certificates of an edge.
type tlsCA struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	roots *x509.CertPool
}

func newTLSCA(t *testing.T) *tlsCA {
	t.Helper()
	ca := &tlsCA{roots: x509.NewCertPool()}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}}, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca.roots.AddCert(ca.cert)
	return ca
}

// pair is a new key and its certificate in one file.
func (ca *tlsCA) pair(t *testing.T, serial int64, names ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
}

// twins are the three programs of containers with images: builtin, in a
// directory as init leaves it.
type twins struct {
	t                    *testing.T
	dir, program         string
	ca                   *tlsCA
	http, https          string // addresses of the edge
	edge, registry, auth *daemon
}

// twinsIn writes the files of an installation for registry.test.
func twinsIn(t *testing.T) *twins {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to run each program as the user of its container")
	}
	dir, err := os.MkdirTemp("", "regctl-twins-") // not t.TempDir, which only root enters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &twins{t: t, dir: dir, program: filepath.Join(dir, "bin", "regctl"), ca: newTLSCA(t), http: freeAddress(t), https: freeAddress(t)}
	s.must(os.Chmod(dir, 0o755))
	for _, sub := range []string{
		"bin", "nginx", "registry", "certs/live", "acme/webroot/.well-known/acme-challenge",
		"auth", "run/registry", "run/auth", "data/registry", "data/auth",
	} {
		s.must(os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	s.copySelf()
	if _, _, err := certs.SigningCA(filepath.Join(dir, "auth")); err != nil {
		t.Fatal(err)
	}
	s.write("certs/live/registry.test.pem", string(s.ca.pair(t, 2, "registry.test")), 0o640)
	s.write("nginx/edge.yaml", s.edgeFile(), 0o644)
	s.write("registry/config.yml", s.registryFile(), 0o640)
	s.write("auth/auth_config.yml", s.authFile(), 0o640)
	for _, sub := range []string{"auth", "run", "data"} {
		s.must(filepath.Walk(filepath.Join(dir, sub), func(path string, _ os.FileInfo, err error) error {
			s.must(err)
			return os.Chown(path, containerUser, containerUser)
		}))
	}
	return s
}

// startTwins runs all three.
func startTwins(t *testing.T) *twins {
	t.Helper()
	s := twinsIn(t)
	s.auth = daemonOf(t, s.program, containerUser, "auth", "serve", filepath.Join(s.dir, "auth", "auth_config.yml"))
	s.startRegistry()
	s.startEdge()
	return s
}

func (s *twins) startRegistry() {
	s.t.Helper()
	s.registry = daemonOf(s.t, s.program, containerUser, "registry", "serve", filepath.Join(s.dir, "registry", "config.yml"))
}

func (s *twins) startEdge() {
	s.t.Helper()
	s.edge = daemonOf(s.t, s.program, 0, "edge", "serve", "--user", fmt.Sprint(containerUser), filepath.Join(s.dir, "nginx", "edge.yaml"))
}

func (s *twins) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// write replaces a file as all of regctl does, readable for the group.
func (s *twins) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.WriteFile(path+".new", []byte(text), mode))
	s.must(os.Chown(path+".new", 0, containerUser))
	s.must(os.Rename(path+".new", path))
}

// copySelf makes this test, which is regctl by that name, a program that
// others may run.
func (s *twins) copySelf() {
	s.t.Helper()
	self, err := os.Executable()
	s.must(err)
	if os.Link(self, s.program) == nil {
		s.must(os.Chmod(s.program, 0o755))
		return
	}
	from, err := os.Open(self)
	s.must(err)
	defer from.Close()
	to, err := os.OpenFile(s.program, os.O_WRONLY|os.O_CREATE, 0o755)
	s.must(err)
	_, err = io.Copy(to, from)
	s.must(err)
	s.must(to.Close())
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (s *twins) port() string {
	_, port, _ := net.SplitHostPort(s.https)
	return port
}

func (s *twins) edgeFile() string {
	return fmt.Sprintf(`http: ["%s"]
https: ["%s"]
host: registry.test
https_port: %s
certificates: {registry.test: %[4]s/certs/live/registry.test.pem}
profile: intermediate
hsts: true
registry_socket: %[4]s/run/registry/registry.sock
auth_socket: %[4]s/run/auth/auth.sock
acme_webroot: %[4]s/acme/webroot
`, s.http, s.https, s.port(), s.dir)
}

func (s *twins) registryFile() string {
	return fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %[1]s/data/registry}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}}
http: {net: unix, addr: %[1]s/run/registry/registry.sock, secret: some secret of a test}
health: {storagedriver: {enabled: true, interval: 10s, threshold: 3}}
auth:
  token:
    realm: https://registry.test:%[2]s/auth
    service: Docker registry
    issuer: regctl
    rootcertbundle: %[1]s/auth/signing-ca.crt
    signingalgorithms: [ES256]
`, s.dir, s.port())
}

func (s *twins) authFile() string {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	s.must(err)
	return fmt.Sprintf(`server: {net: unix, addr: %[1]s/run/auth/auth.sock, admin_socket: %[1]s/run/admin.sock, real_ip_header: X-Real-IP}
token: {issuer: regctl, expiration: 900, signing_ca: {certificate: %[1]s/auth/signing-ca.crt, key: %[1]s/auth/signing-ca.key}}
users: {alice: {password: "%[2]s"}}
acl: [{match: {account: alice, name: "alice/*"}, actions: ["*"]}]
store: {path: %[1]s/data/auth/auth.db}
audit: {file: %[1]s/data/auth/audit.log}
`, s.dir, hash)
}

// transport finds every host at the edge, with a connection for each request,
// and trusts its CA alone.
func (s *twins) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.https)
		},
		TLSClientConfig: &tls.Config{RootCAs: s.ca.roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
}

// url is that of a path at the edge.
func (s *twins) url(path string) string { return "https://registry.test:" + s.port() + path }

// token asks for one as alice.
func (s *twins) token(scope string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, s.url("/auth?service=Docker+registry&scope="+scope), nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("alice", "secret")
	resp, err := s.transport().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Token, err
}
