package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

// TestMain makes this test binary be regctl for the scripts, and the questions
// of init alone.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"regctl": main, "regctl-questions": questionsMain})
}

// testServer is a real auth server with a real store, which takes commands at
// the admin socket of dir.
type testServer struct {
	*auth.Server
	dir   string
	store store.Store
	stop  func()
}

func startServer(dir string, cfg *auth.Config) (*testServer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	st, err := store.OpenSQLite(filepath.Join(dir, "auth.db"))
	if err != nil {
		return nil, err
	}
	srv, err := auth.New(context.Background(), cfg, auth.Options{Store: st, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		st.Close()
		return nil, err
	}
	stop, err := srv.ServeAdmin(adminSocket(dir))
	if err != nil {
		srv.Close()
		st.Close()
		return nil, err
	}
	return &testServer{srv, dir, st, stop}, nil
}

func (s *testServer) close() {
	s.stop()
	s.Close()
	s.store.Close()
}

// testConfig signs with a key of its own and has no users and rules.
func testConfig() (*auth.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	cfg := &auth.Config{Token: auth.TokenConfig{
		Issuer: "test", Expiration: 15 * time.Minute, X5C: true, Pair: &auth.KeyPair{Cert: cert, Key: key},
		Refresh: true, RefreshExpiration: 24 * time.Hour,
	}}
	return cfg, nil
}

// newTestServer runs a server with an admin, a user and the default rules.
func newTestServer(t *testing.T) *testServer {
	t.Helper()
	cfg, err := testConfig()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.TempDir(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if _, err := auth.Bootstrap(t.Context(), s.Server, "admin", "admin password"); err != nil {
		t.Fatal(err)
	}
	return s
}

// result is what a run of a command left.
type result struct {
	code           int
	stdout, stderr string
}

// regctl runs a command against s, without a terminal.
func (s *testServer) regctl(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	e := &env{
		stdin: bytes.NewBufferString(stdin), stdout: &out, stderr: &errs,
		openTerminal: func() (*os.File, error) { t.Error("the terminal was opened"); return nil, os.ErrNotExist },
		now:          func() time.Time { return time.Now().UTC() },
	}
	code := run(t.Context(), append(args, "--dir", s.dir), e)
	return result{code, out.String(), errs.String()}
}
