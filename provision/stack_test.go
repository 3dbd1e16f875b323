package provision

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/certs"
	"regctl/stack/auth"
	"regctl/stack/auth/store"
	"regctl/stack/embedded"
)

const (
	testHost     = "reg.test"
	testAuthHost = "auth.test"
	testService  = "Docker registry"
)

// testStack is a real registry, auth server and edge with TLS and a redirect, in
// this process and in the directories of an installation.
type testStack struct {
	t      *testing.T
	paths  Paths
	target Target
	admin  *auth.Client
	server *auth.Server
	output syncBuffer // what all of it logs

	mu        sync.Mutex
	passwords map[string]bool // that clients have sent

	stopAdmin func()
}

// stackOptions are how a stack differs from a good one.
type stackOptions struct {
	authHost string
	rules    []store.Rule // instead of the default ones
	static   []store.Rule // of the configuration
	clock    func() time.Time
	strange  bool   // the registry trusts another signing CA
	lax      bool   // the registry looks at no rights
	program  string // the registry is a process of this program

	// These stand in front of what is theirs.
	edge, registry, auth func(next http.Handler) http.Handler
	redirect             http.HandlerFunc // instead of the good one
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newStack(t *testing.T, o stackOptions) *testStack {
	t.Helper()
	s := &testStack{t: t, paths: Paths{t.TempDir()}, passwords: map[string]bool{}}
	for _, dir := range []string{s.paths.Auth(), s.paths.Run(), s.paths.RegistryData(), s.paths.AuthData(), s.paths.Certs(), s.paths.Live()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.target = Target{Host: testHost, AuthHost: o.authHost, Address: "127.0.0.1", Service: testService, AdminSocket: s.paths.AdminSocket()}
	s.admin = auth.NewClient(s.target.AdminSocket)

	serving := must(net.Listen("tcp", "127.0.0.1:0"))
	s.target.HTTPSPort = serving.Addr().(*net.TCPAddr).Port
	bundle := s.startAuth(o)
	registry := s.startRegistry(o, bundle)
	if o.lax {
		o.registry = laxRegistry(s)
	}
	edge := embedded.NewEdge(embedded.EdgeOptions{
		Registry: wrap(o.registry, registry), Auth: wrap(o.auth, s.watch(s.server)),
		Host: testHost, AuthHost: o.authHost, AccessLog: &s.output, Log: s.log(),
	})
	s.serve(serving, wrap(o.edge, edge), s.certificates(o))

	plain := must(net.Listen("tcp", "127.0.0.1:0"))
	s.target.HTTPPort = plain.Addr().(*net.TCPAddr).Port
	if o.redirect == nil {
		o.redirect = func(w http.ResponseWriter, r *http.Request) {
			name, _, _ := net.SplitHostPort(r.Host)
			http.Redirect(w, r, s.target.url(name)+r.URL.RequestURI(), http.StatusMovedPermanently)
		}
	}
	s.serve(plain, o.redirect, nil)
	return s
}

func wrap(around func(http.Handler) http.Handler, h http.Handler) http.Handler {
	if around == nil {
		return h
	}
	return around(h)
}

func (s *testStack) log() *slog.Logger { return slog.New(slog.NewTextHandler(&s.output, nil)) }

func (s *testStack) mkdirFor(path string) string {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *testStack) startAuth(o stackOptions) (bundle string) {
	st := must(store.OpenSQLite(filepath.Join(s.paths.AuthData(), "auth.db")))
	s.t.Cleanup(func() { st.Close() })
	bundle, key, err := certs.SigningCA(s.paths.Auth())
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = must(auth.New(s.t.Context(), &auth.Config{
		Token: auth.TokenConfig{Issuer: "regctl", Expiration: 15 * time.Minute, SigningCA: must(auth.LoadKeyPair(bundle, key))},
		Audit: auth.AuditConfig{File: filepath.Join(s.paths.AuthData(), "audit.log")},
		ACL:   o.static,
	}, auth.Options{Store: st, Log: s.log()}))
	s.t.Cleanup(func() { s.server.Close() })
	s.bootstrap()
	s.stopAdmin = sync.OnceFunc(must(s.server.ServeAdmin(s.target.AdminSocket)))
	s.t.Cleanup(s.stopAdmin)
	if o.rules != nil {
		s.setRules(o.rules)
	}
	return bundle
}

// bootstrap is [auth.Bootstrap] with a cheap hash: the dearest one of all
// accounts decides what a wrong password costs.
func (s *testStack) bootstrap() {
	hash := must(bcrypt.GenerateFromPassword([]byte("admin's password"), bcrypt.MinCost))
	admin := store.User{Name: "admin", PasswordHash: string(hash), Labels: map[string][]string{auth.AdminLabel: {auth.AdminValue}}}
	err := s.server.Change(s.t.Context(), func(store.State) (store.Change, error) {
		return store.Change{PutUsers: []store.User{admin}, PutRules: auth.DefaultRules()}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *testStack) setRules(rules []store.Rule) {
	err := s.server.Change(s.t.Context(), func(old store.State) (store.Change, error) {
		change := store.Change{PutRules: rules}
		for seq := range old.Rules {
			change.DropRules = append(change.DropRules, seq)
		}
		return change, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// startRegistry starts the registry on its socket, and returns the way to it.
func (s *testStack) startRegistry(o stackOptions, bundle string) http.Handler {
	socket := s.mkdirFor(s.paths.RegistrySocket())
	if o.program == "" {
		registry := s.openRegistry(o, bundle)
		s.serve(must(net.Listen("unix", socket)), registry, nil)
		return registry
	}
	config, text := filepath.Join(s.paths.Dir, "registry.yml"), fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {net: unix, addr: %s, secret: test}
auth: {token: {realm: %q, service: %q, issuer: regctl, rootcertbundle: %s}}
`, s.paths.RegistryData(), socket, s.target.url(s.target.authHost())+"/auth", testService, bundle)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(o.program, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a test that is killed
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	dial := dialTo("unix", socket)
	untilTrue(s.t, o.program+" answers", func() bool {
		conn, err := dial(s.t.Context(), "", "")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "registry"})
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		Transport: &http.Transport{DialContext: dial},
	}
}

func (s *testStack) openRegistry(o stackOptions, bundle string) http.Handler {
	if o.strange {
		bundle, _, _ = certs.SigningCA(filepath.Join(s.paths.Dir, "strange"))
	}
	r, err := embedded.OpenRegistry(embedded.RegistryOptions{
		Dir: s.paths.Dir, Realm: s.target.url(s.target.authHost()) + "/auth", Service: testService,
		Issuer: "regctl", SigningBundle: bundle, Log: s.log(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	return r
}

func (s *testStack) certificates(o stackOptions) *tls.Config {
	clock := o.clock
	if clock == nil {
		clock = time.Now
	}
	ca := must(certs.OpenLocalCA(s.paths.Certs(), clock))
	s.target.CAFile = ca.CertFile()
	config := ca.TLSConfig(s.target.Hosts()...)
	for _, name := range s.target.Hosts() {
		s.store(name, must(config.GetCertificate(&tls.ClientHelloInfo{ServerName: name})))
	}
	return config
}

// store puts the certificate of a name where the edge has it from.
func (s *testStack) store(name string, cert *tls.Certificate) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := os.WriteFile(s.paths.Pair(name), text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testStack) serve(l net.Listener, h http.Handler, config *tls.Config) {
	srv := &http.Server{Handler: h, TLSConfig: config, ErrorLog: slog.NewLogLogger(s.log().Handler(), slog.LevelDebug)}
	done := make(chan error, 1)
	go func() {
		if config == nil {
			done <- srv.Serve(l)
		} else {
			done <- srv.ServeTLS(l, "", "")
		}
	}()
	s.t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

// watch notes the passwords that clients send.
func (s *testStack) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); ok {
			s.mu.Lock()
			s.passwords[password] = true
			s.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// clean finds nothing that a verification has made, and no password of its own
// in what anybody has said.
func (s *testStack) clean(said ...string) {
	s.t.Helper()
	state := s.server.State()
	for name := range state.Users {
		if strings.HasPrefix(name, guestPrefix) {
			s.t.Errorf("account %s is left", name)
		}
	}
	for _, r := range state.Rules {
		if r.Comment == guestComment || r.Seq < 0 {
			s.t.Errorf("rule %+v is left", r)
		}
	}
	if tags := s.tags(); len(tags) > 0 {
		s.t.Errorf("tags are left: %q", tags)
	}
	said = append(said, s.output.String(), string(must(os.ReadFile(filepath.Join(s.paths.AuthData(), "audit.log")))))
	s.mu.Lock()
	defer s.mu.Unlock()
	for password := range s.passwords {
		for _, text := range said {
			if password != "" && strings.Contains(text, password) {
				s.t.Errorf("a password is in %q", text)
			}
		}
	}
}

// tags are those of verifications, as the registry's disk has them.
func (s *testStack) tags() (tags []string) {
	err := filepath.WalkDir(s.paths.RegistryData(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an upload that has just ended
		}
		if err == nil && strings.HasPrefix(d.Name(), guestPrefix) && filepath.Base(filepath.Dir(path)) == "tags" {
			tags = append(tags, path)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return tags
}

// said is all that a run of Verify tells.
func said(proofs []Proof, err error) string { return fmt.Sprintf("%+v\n%v", proofs, err) }

// untilTrue repeats a look until it is content.
func untilTrue(t *testing.T, what string, look func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !look(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// freePort is a port of this machine on which nobody listens.
func freePort(t *testing.T) int {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func names(proofs []Proof) string {
	var all []string
	for _, p := range proofs {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}
