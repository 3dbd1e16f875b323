package stack_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regctl/provision/host/hosttest"
	"regctl/provision/step"
	"regctl/stack"
)

func TestInfo(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	info, err := e.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := api.ServerVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Version != want.Version || info.API == "" || info.Storage == "" || info.Root == "" || info.MemoryMiB == 0 {
		t.Errorf("%+v, the engine is %s", info, want.Version)
	}
}

// A host without an engine can be planned for: a later step installs it.
func TestNoEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	e, err := stack.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Ping(t.Context()); !errors.Is(err, stack.ErrNoEngine) || !strings.Contains(err.Error(), "systemctl start docker") {
		t.Errorf("ping: %v", err)
	}
	m := hosttest.New(t)
	p := stack.Project{Name: "none", Dir: "/srv/none", File: "/srv/none/compose.yaml"}
	for _, s := range []step.Step{
		stack.NewImages(e, "/srv/none/images.lock", []string{stack.NginxImage}, stack.NginxImage),
		stack.NewStack(e, p, text("services: {a: {image: x}}")),
	} {
		change, err := s.Check(t.Context(), m.Looker())
		if err != nil || change.String() != "create: no Docker engine yet" {
			t.Errorf("%s: %v, %v", s.Name(), change, err)
		}
	}
	undo := stack.NewStack(e, p, nil)
	if err := undo.Undo(t.Context(), m); err != nil {
		t.Errorf("undo: %v", err)
	}
}

// An engine behind TLS is reached as the docker command reaches it.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.47")
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
	for _, c := range []struct {
		verify, certs string
		ok            bool
	}{{"1", dir, true}, {"", "", false}} {
		t.Setenv("DOCKER_TLS_VERIFY", c.verify)
		t.Setenv("DOCKER_CERT_PATH", c.certs)
		e, err := stack.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Ping(t.Context()); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		e.Close()
	}
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", t.TempDir())
	if _, err := stack.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("without the CA's file: %v", err)
	}
}

func TestConnectRefuses(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"DOCKER_HOST", "nonsense://x:y:z", "nonsense"},
		{"DOCKER_CONTEXT", "no-such-context", "no-such-context"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", "")
			t.Setenv(c.name, c.value)
			_, err := stack.Connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "DOCKER_CONTEXT") {
				t.Errorf("%s=%s: %v", c.name, c.value, err)
			}
		})
	}
}
