package auth

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// running is a server started by Run in a directory of its own.
type running struct {
	t      *testing.T
	dir    string
	path   string
	addr   string
	log    *syncBuffer
	reload chan struct{}
	done   chan error
	cancel context.CancelFunc
}

// syncBuffer is a buffer that may be written and read at once.
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

// writePEM writes a pair as NAME.crt and NAME.key.
func writePEM(t *testing.T, dir, name string, pair *KeyPair) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: pair.Cert.Raw}, ".key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// config is a configuration file for issuer, with extra lines in its server
// section.
func (r *running) config(issuer, server string) string {
	return fmt.Sprintf("server: {addr: \"127.0.0.1:0\"%s}\n"+
		"token: {issuer: %s, expiration: 900, certificate: %[3]s/sign.crt, key: %[3]s/sign.key}\n"+
		"users: {alice: {password: \"%[4]s\"}}\nacl: [{match: {account: alice}, actions: ['*']}]\naudit: {file: %[3]s/audit.log}\n",
		server, issuer, r.dir, *hashed("secret"))
}

func (r *running) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// startRun serves configText(r), or r.config("one", "") if that is nil.
func startRun(t *testing.T, configText func(*running) string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{t: t, dir: dir, path: filepath.Join(dir, "auth_config.yml"), log: &syncBuffer{},
		reload: make(chan struct{}), done: make(chan error, 1)}
	writePEM(t, dir, "sign", testPairOnce())
	text := r.config("one", "")
	if configText != nil {
		text = configText(r)
	}
	r.write(text)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	ready := make(chan net.Addr, 1)
	go func() {
		r.done <- Run(ctx, r.path, RunOptions{
			Log: slog.New(slog.NewTextHandler(r.log, nil)), Reload: r.reload, Ready: func(a net.Addr) { ready <- a },
		})
	}()
	select {
	case a := <-ready:
		r.addr = a.String()
	case err := <-r.done:
		t.Fatalf("Run: %v\n%s", err, r.log)
	}
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) stop() {
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.done <- nil
}

// eventually waits until probe returns nil.
func eventually(t *testing.T, what string, probe func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = probe(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// issuerIs asks the index page, which names the issuer.
func issuerIs(client *http.Client, url, issuer string) func() error {
	return func() error {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if want := "<h1>" + issuer + "</h1>\n"; err != nil || string(body) != want {
			return fmt.Errorf("%q, %v; want %q", body, err, want)
		}
		return nil
	}
}

func logged(r *running, text string) func() error {
	return func() error {
		if !strings.Contains(r.log.String(), text) {
			return errors.New("not logged: " + text)
		}
		return nil
	}
}

// TestReload replaces the configuration in every way that editors and
// orchestrators do, while clients ask: no request fails.
func TestReload(t *testing.T) {
	r := startRun(t, nil)
	url := "http://" + r.addr
	var failures atomic.Pointer[error]
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, _ := http.NewRequest("GET", url+"/auth?scope=repository:a:pull", nil)
				req.SetBasicAuth("alice", "secret")
				resp, err := http.DefaultClient.Do(req)
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						err = errors.New(resp.Status)
					}
				}
				if err != nil {
					failures.Store(&err)
				}
			}
		})
	}
	step := func(issuer string, replace func(text string)) {
		t.Helper()
		replace(r.config(issuer, ""))
		eventually(t, issuer, issuerIs(http.DefaultClient, url+"/", issuer))
	}
	step("in-place", r.write)
	step("rename-over", func(text string) {
		if err := errors.Join(os.WriteFile(r.path+".new", []byte(text), 0o600), os.Rename(r.path+".new", r.path)); err != nil {
			t.Fatal(err)
		}
	})
	step("rename-away", func(text string) { // Q22: docker_auth loses the file
		if err := os.Rename(r.path, r.path+".bak"); err != nil {
			t.Fatal(err)
		}
		r.write(text)
	})
	step("symlink", func(text string) {
		if err := errors.Join(os.WriteFile(r.path+".2", []byte(text), 0o600), os.Remove(r.path), os.Symlink(r.path+".2", r.path)); err != nil {
			t.Fatal(err)
		}
	})
	r.write("token: {}\n")
	eventually(t, "bad configuration", logged(r, "Failed to reload config (server not restarted): "))
	if err := issuerIs(http.DefaultClient, url+"/", "symlink")(); err != nil {
		t.Errorf("a bad configuration changed something: %v", err)
	}
	step("mended", r.write)
	os.WriteFile(r.path, []byte(r.config("signal", "")), 0o600)
	r.reload <- struct{}{}
	eventually(t, "signal", issuerIs(http.DefaultClient, url+"/", "signal"))
	close(stop)
	wg.Wait()
	if err := failures.Load(); err != nil {
		t.Errorf("a request failed: %v", *err)
	}
}

// A changed certificate is served without a restart, TLS can be switched on and
// the address moved.
func TestReloadOfListener(t *testing.T) {
	r := startRun(t, nil)
	client := func(pair *KeyPair) *http.Client {
		pool := x509.NewCertPool()
		pool.AddCert(pair.Cert)
		return &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			RootCAs: pool, VerifyConnection: func(s tls.ConnectionState) error {
				if s.NegotiatedProtocol != "h2" {
					return fmt.Errorf("negotiated %q", s.NegotiatedProtocol)
				}
				return nil
			}}}}
	}
	now := time.Now()
	first := testPair(t, elliptic.P256(), now.Add(-time.Hour), now.Add(time.Hour), false)
	first = withLoopback(t, first)
	writePEM(t, r.dir, "tls", first)
	withTLS := fmt.Sprintf(", certificate: %[1]s/tls.crt, key: %[1]s/tls.key", r.dir)
	r.write(r.config("tls", withTLS))
	eventually(t, "TLS", issuerIs(client(first), "https://"+r.addr+"/", "tls"))
	second := withLoopback(t, testPair(t, elliptic.P384(), now.Add(-time.Hour), now.Add(time.Hour), false))
	writePEM(t, r.dir, "tls", second)
	eventually(t, "new certificate", issuerIs(client(second), "https://"+r.addr+"/", "tls"))

	socket := filepath.Join(r.dir, "s")
	r.write(strings.Replace(r.config("unix", ", net: unix, real_ip_header: X-Real-IP"), "127.0.0.1:0", socket, 1))
	overSocket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	eventually(t, "unix socket", issuerIs(overSocket, "http://auth/", "unix"))
	eventually(t, "old address closed", func() error {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			conn.Close()
			return errors.New("it still listens")
		}
		return nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.write(strings.Replace(r.config("busy", ""), "127.0.0.1:0", l.Addr().String(), 1))
	eventually(t, "address in use", logged(r, "address already in use"))
	if err := issuerIs(overSocket, "http://auth/", "unix")(); err != nil {
		t.Errorf("the old listener: %v", err)
	}
}

// withLoopback issues the pair's certificate for 127.0.0.1.
func withLoopback(t *testing.T, pair *KeyPair) *KeyPair {
	t.Helper()
	template := *pair.Cert
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, pair.Key.Public(), pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &KeyPair{Cert: cert, Key: pair.Key}
}

// The end waits for requests under way and writes all audit records.
func TestStop(t *testing.T) {
	r := startRun(t, nil)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "username=alice&password=secret"
	fmt.Fprintf(conn, "POST /auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", len(body))
	// A later connection that is answered: the first one was accepted before it.
	if err := issuerIs(http.DefaultClient, "http://"+r.addr+"/", "one")(); err != nil {
		t.Fatal(err)
	}
	r.cancel()
	fmt.Fprint(conn, body)
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%v %q", err, answer)
	}
	r.stop()
	if records := readAudit(t, filepath.Join(r.dir, "audit.log")); len(records) != 1 || records[0].Account != "alice" {
		t.Errorf("audit %+v", records)
	}
}
