package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regctl/stack/stacktest"
)

// A site is two hosts on one cable, each a network namespace with a Docker
// engine of its own: one is set up by regctl, the other is a client of it.
type site struct {
	t              *testing.T
	dir            string // for installations; short, as unix sockets are below it
	program        string // regctl, built as users get it
	server, client *node
}

// node is a host of a site. Its engine sees its own /etc/docker, its programs see
// its own /etc/logrotate.d, and both its /etc/hosts.
type node struct {
	site      *site
	namespace string
	dir       string
	engine    *stacktest.Engine
}

// newSite makes a site whose hosts know the names. Their engines do not run yet.
func newSite(t *testing.T, names ...string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, program: stacktest.Regctl(t)}
	s.server, s.client = s.newNode("server"), s.newNode("client")
	server, _ := stacktest.Join(t, s.server.namespace, s.client.namespace, "10.213.7.0/24")
	for _, n := range []*node{s.server, s.client} {
		text := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", server, strings.Join(names, " "))
		must(os.WriteFile(n.hosts(), []byte(text), 0o644))
	}
	return s
}

func (s *site) newNode(name string) *node {
	s.t.Helper()
	n := &node{site: s, namespace: stacktest.Namespace(s.t), dir: filepath.Join(s.dir, name)}
	for _, dir := range []string{n.etcDocker(), filepath.Join(n.dir, "logrotate.d"), "/etc/docker", "/etc/logrotate.d"} {
		must(os.MkdirAll(dir, 0o755))
	}
	return n
}

func (n *node) hosts() string     { return filepath.Join(n.dir, "hosts") }
func (n *node) etcDocker() string { return filepath.Join(n.dir, "docker") }

// start starts the host's engine.
func (n *node) start() {
	n.site.t.Helper()
	n.engine = stacktest.StartEngine(n.site.t, n.namespace, n.hosts()+":/etc/hosts", n.etcDocker()+":/etc/docker")
}

// inside is the program on this host.
func (n *node) inside(ctx context.Context, argv ...string) *exec.Cmd {
	const script = `mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/logrotate.d" /etc/logrotate.d && shift && exec "$@"`
	cmd := stacktest.In(ctx, n.namespace, append([]string{"unshare", "--mount", "sh", "-c", script, "sh", n.dir}, argv...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+n.engine.Host(), "DOCKER_CONFIG="+filepath.Join(n.dir, "config"), "HOME="+n.dir, "NO_COLOR=1")
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// try runs a program on this host and returns all it printed.
func (n *node) try(argv ...string) (string, error) { return n.feed("", argv...) }

func (n *node) feed(stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := n.inside(ctx, argv...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out), err
}

// do is try, of what must succeed.
func (n *node) do(argv ...string) string {
	n.site.t.Helper()
	out, err := n.try(argv...)
	if err != nil {
		n.site.t.Fatal(err)
	}
	return out
}

// regctl runs our program on this host, without a terminal.
func (n *node) regctl(args ...string) result {
	n.site.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := n.inside(ctx, append([]string{n.site.program}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		n.site.t.Fatalf("%v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// expect runs regctl on the server, wants an exit code, and returns what it
// printed.
func (s *site) expect(code int, args ...string) string {
	s.t.Helper()
	r := s.server.regctl(args...)
	if r.code != code {
		s.t.Fatalf("regctl %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r.stdout + r.stderr
}

// trust has this host's engine trust a CA for a registry.
func (n *node) trust(registry, ca string) {
	n.site.t.Helper()
	dir := filepath.Join(n.etcDocker(), "certs.d", registry)
	must(os.MkdirAll(dir, 0o755))
	must(os.WriteFile(filepath.Join(dir, "ca.crt"), []byte(ca), 0o644))
}
