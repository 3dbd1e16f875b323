package stack_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/stack"
	"regctl/stack/stacktest"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// answer is what the server on a socket says.
func answer(t *testing.T, socket string) string {
	t.Helper()
	c, err := net.DialTimeout("unix", socket, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestReload(t *testing.T) {
	t.Parallel()
	e, _ := connect(t)
	p := newProject(t, e)
	conf, live := filepath.Join(p.Dir, "nginx"), filepath.Join(p.Dir, "live")
	socket := filepath.Join(p.Dir, "run", "s")
	config := func(extra string, status int) {
		write(t, filepath.Join(conf, "nginx.conf"), fmt.Sprintf(
			"user nginx;\nerror_log stderr notice;\nevents {}\nhttp { server { listen unix:%s; %s return %d; } }\n", socket, extra, status))
	}
	write(t, filepath.Join(live, "cert.pem"), "x")
	write(t, filepath.Join(live, "old", "ignored"), "a directory is not a file")
	if err := os.Mkdir(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	edge := stack.Edge{Service: "nginx"}
	s := stack.NewReload(e, p, edge, []string{conf, live}, filepath.Join(p.Dir, "run", "edge.loaded"))
	if got := mustCheck(t, s); got != "create: the edge has no configuration yet" {
		t.Error(got)
	}
	config("", 201)
	if err := s.Apply(t.Context(), host.Local{}); err == nil || !strings.Contains(err.Error(), "has no container") {
		t.Errorf("without a container: %v", err)
	}
	if err := e.Up(t.Context(), p, fmt.Appendf(nil, `
services:
  nginx:
    image: %s
    network_mode: none
    command: [nginx, -c, %s/nginx.conf, -g, daemon off;]
    volumes: ['%s:%[3]s:ro', '%s:%[4]s:ro', '%s:%[5]s']
`, stacktest.Nginx(t, ""), conf, conf, live, filepath.Dir(socket))); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "create: not known what the edge has loaded")

	config("", 202)
	mustConverge(t, s, "update: changed since the edge has read them: "+conf+"/nginx.conf")
	if got := answer(t, socket); !strings.Contains(got, " 202 ") {
		t.Errorf("after a reload: %q", got)
	}
	write(t, filepath.Join(live, "new.pem"), "y")
	if err := os.Remove(filepath.Join(live, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "update: changed since the edge has read them: "+live+"/cert.pem, "+live+"/new.pem")

	// What nginx refuses, and what only shows when it uses it, leave the old
	// configuration in use.
	for extra, want := range map[string]string{
		"nonsense on;":          `unknown directive "nonsense"`,
		"listen 192.0.2.1:443;": "bind() to 192.0.2.1:443 failed",
	} {
		config(extra, 203)
		if err := s.Apply(t.Context(), host.Local{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", extra, err, want)
		}
		if got := mustCheck(t, s); !strings.HasPrefix(got, "update: ") {
			t.Errorf("%s: %s", extra, got)
		}
		if got := answer(t, socket); !strings.Contains(got, " 202 ") {
			t.Errorf("%s: %q", extra, got)
		}
	}
	config("", 204)
	mustConverge(t, s, "update: changed since the edge has read them: "+conf+"/nginx.conf")
	if got := answer(t, socket); !strings.Contains(got, " 204 ") {
		t.Errorf("after all: %q", got)
	}

	// Our own edge looks at its files by itself.
	builtin := stack.Edge{Service: "nginx", Builtin: true}
	if err := e.ReloadEdge(t.Context(), p, builtin); err != nil {
		t.Fatal(err)
	}

	if err := e.Stop(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := e.ReloadEdge(t.Context(), p, edge); err == nil || !strings.Contains(err.Error(), "is not running (exited): regctl up") {
		t.Errorf("of a stopped edge: %v", err)
	}
}

// systemctl stands in for systemd: it knows which units are enabled.
type systemctl struct{ enabled, reloads int }

func (s *systemctl) look(c host.Cmd) (hosttest.Reply, bool) {
	return hosttest.Reply{Exit: 1 - s.enabled}, c.String() == "systemctl is-enabled --quiet regctl.service"
}

func (s *systemctl) run(c host.Cmd) (hosttest.Reply, bool) {
	switch c.String() {
	case "systemctl daemon-reload":
		s.reloads++
	case "systemctl --quiet enable regctl.service":
		s.enabled = 1
	case "systemctl --quiet disable regctl.service":
		s.enabled = 0
	default:
		return hosttest.Reply{}, false
	}
	return hosttest.Reply{}, true
}

func TestUnit(t *testing.T) {
	t.Parallel()
	const path = "/etc/systemd/system/regctl.service"
	m, d := hosttest.New(t), &systemctl{}
	unit := func(content string) *stack.Unit { return stack.NewUnit("regctl.service", []byte(content)) }
	check := func(s *stack.Unit, want string) {
		t.Helper()
		if got, err := s.Check(t.Context(), m.Looker()); err != nil || got.String() != want {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	check(unit("one"), "keep: no systemd here: Docker starts the containers again by their restart policy")

	m.MkdirAll("/run/systemd/system")
	m.MkdirAll("/etc/systemd/system")
	m.Install("systemctl", hosttest.Program{Look: d.look, Run: d.run})
	for content, cause := range map[string]string{"one": "create: no file " + path} {
		check(unit(content), cause)
		for range 2 {
			if err := unit(content).Apply(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			check(unit(content), "keep: systemd starts regctl.service with the host")
		}
	}
	check(unit("two"), "update: "+path+" differs")
	d.enabled = 0
	check(unit("one"), "update: regctl.service is not enabled")
	for range 2 {
		if err := unit("one").Undo(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if found, _ := host.Exists(m, path); found || d.enabled != 0 || d.reloads != 3 {
			t.Errorf("after undo: file %t, enabled %d, %d reloads", found, d.enabled, d.reloads)
		}
	}
}
