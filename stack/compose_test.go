package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"regctl/provision/host"
	"regctl/stack"
	"regctl/stack/stacktest"
)

// text is a compose.yaml that is known.
func text(s string) func(host.Looker) ([]byte, error) {
	return func(host.Looker) ([]byte, error) { return []byte(s), nil }
}

// two is a compose.yaml of two services, the second of which has this mark in
// its environment.
func two(image, mark string) string {
	return fmt.Sprintf(`
services:
  one:
    image: %[1]s
    network_mode: none
    healthcheck: {test: [CMD, nginx, -t], interval: 1s, retries: 2}
  two:
    image: %[1]s
    depends_on: [one]
    environment: {MARK: '%[2]s'}
    networks: [inner]
    stop_grace_period: 1s
networks:
  inner: {internal: true}
`, image, mark)
}

// made are the ids of a project's containers by service.
func made(t *testing.T, api *client.Client, p stack.Project) map[string]string {
	t.Helper()
	list, err := api.ContainerList(t.Context(), container.ListOptions{All: true, Filters: ofProject(p)})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range list {
		ids[c.Labels["com.docker.compose.service"]] = c.ID
	}
	return ids
}

func ofProject(p stack.Project) filters.Args {
	return filters.NewArgs(filters.Arg("label", "com.docker.compose.project="+p.Name))
}

func TestStack(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	image := stacktest.Nginx(t, "")
	p := newProject(t, e)
	ctx := t.Context()

	first := stack.NewStack(e, p, text(two(image, "a")))
	mustConverge(t, first, "create: no containers yet: one, two")
	ids := made(t, api, p)
	if len(ids) != 2 || ids["one"] == "" || ids["two"] == "" {
		t.Fatalf("containers: %v", ids)
	}

	// Another configuration of one service leaves the other alone.
	second := stack.NewStack(e, p, text(two(image, "$$b")))
	mustConverge(t, second, "update: two: configuration changed")
	after := made(t, api, p)
	if after["one"] != ids["one"] || after["two"] == ids["two"] {
		t.Errorf("containers were %v, are %v", ids, after)
	}
	if c, err := api.ContainerInspect(ctx, after["two"]); err != nil || !slices.Contains(c.Config.Env, "MARK=$b") {
		t.Errorf("environment %v, %v", c.Config.Env, err)
	}

	// What has ended is started again, and what was removed is made again.
	if err := api.ContainerKill(ctx, after["two"], "KILL"); err != nil {
		t.Fatal(err)
	}
	if err := api.ContainerRemove(ctx, after["one"], container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, second, "update: one has no container; two is not running (exited with status 137)")
	if again := made(t, api, p); again["two"] != after["two"] || again["one"] == after["one"] {
		t.Errorf("containers were %v, are %v", after, again)
	}

	// A service that is gone goes.
	one, _, _ := strings.Cut(two(image, ""), "  two:")
	mustConverge(t, stack.NewStack(e, p, text(one)), "update: two is no longer wanted")

	for range 2 {
		if err := first.Undo(ctx, host.Local{}); err != nil {
			t.Fatal(err)
		}
	}
	networks, err := api.NetworkList(ctx, network.ListOptions{Filters: ofProject(p)})
	if err != nil || len(networks) != 0 || len(made(t, api, p)) != 0 {
		t.Errorf("after undo: networks %v, containers %v, %v", networks, made(t, api, p), err)
	}
}

func TestStackRefuses(t *testing.T) {
	t.Parallel()
	e, _ := connect(t)
	image := stacktest.Nginx(t, "")
	p := newProject(t, e)
	if err := e.Up(t.Context(), p, []byte(two(image, ""))); err != nil {
		t.Fatal(err)
	}
	other := p
	other.Dir = t.TempDir()
	s := stack.NewStack(e, other, text(two(image, "")))
	_, err := s.Check(t.Context(), host.Local{}.Looker())
	if foreign, ok := errors.AsType[*stack.ForeignError](err); !ok || foreign.Dir != p.Dir {
		t.Errorf("check in another directory: %v", err)
	}
	for name, call := range map[string]func(context.Context, stack.Project) error{
		"down": e.Down, "stop": e.Stop, "start": e.Start,
		"up":      func(ctx context.Context, p stack.Project) error { return e.Up(ctx, p, []byte(two(image, "b"))) },
		"restart": func(ctx context.Context, p stack.Project) error { return e.Restart(ctx, p) },
		"reload": func(ctx context.Context, p stack.Project) error {
			return e.ReloadEdge(ctx, p, stack.Edge{Service: "one"})
		},
	} {
		if _, ok := errors.AsType[*stack.ForeignError](call(t.Context(), other)); !ok {
			t.Errorf("%s in another directory is not refused", name)
		}
	}
	if got := mustCheck(t, stack.NewStack(e, p, text(two(image, "")))); got != "keep: running and healthy: one, two" {
		t.Errorf("after all: %s", got)
	}

	for want, yaml := range map[string]string{
		"variables of the environment (HOME)": "services: {a: {image: '${HOME}'}}",
		"is not on this host":                 "services: {a: {image: regctl-test/none:1}}",
		"services.a.imagee":                   "services: {a: {image: x, imagee: y}}",
		"reading " + p.File:                   "services: [",
	} {
		if err := e.Up(t.Context(), p, []byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// A run that was killed while it recreated a container leaves two.
func TestStray(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	p := newProject(t, e)
	s := stack.NewStack(e, p, text(two(stacktest.Nginx(t, ""), "")))
	if err := s.Apply(t.Context(), host.Local{}); err != nil {
		t.Fatal(err)
	}
	old, err := api.ContainerInspect(t.Context(), made(t, api, p)["two"])
	if err != nil {
		t.Fatal(err)
	}
	// As compose names and marks what replaces a container.
	config := *old.Config
	config.Labels = maps.Clone(config.Labels)
	config.Labels["com.docker.compose.replace"] = p.Name + "-two-1"
	if _, err := api.ContainerCreate(t.Context(), &config, old.HostConfig, nil, nil, old.ID[:12]+"_"+p.Name+"-two-1"); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "update: two has 2 containers")
	if ids := made(t, api, p); len(ids) != 2 {
		t.Errorf("containers: %v", ids)
	}
	list, err := api.ContainerList(t.Context(), container.ListOptions{All: true, Filters: ofProject(p)})
	if err != nil || len(list) != 2 {
		t.Errorf("containers: %v, %v", list, err)
	}
}

// A service that does not become healthy is an error that says what it says.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	e, _ := connect(t)
	image := stacktest.Nginx(t, "")
	p := newProject(t, e)
	bad := `
services:
  web:
    image: ` + image + `
    network_mode: none
    stop_grace_period: 1s
    healthcheck: {test: [CMD, nginx, -t, -c, /tmp/ok.conf], interval: 1s, retries: 1}
`
	err := e.Up(t.Context(), p, []byte(bad))
	if err == nil || !strings.Contains(err.Error(), "web: unhealthy (") || !strings.Contains(err.Error(), "/tmp/ok.conf") {
		t.Fatalf("up: %v", err)
	}
	s := stack.NewStack(e, p, text(bad))
	if got := mustCheck(t, s); !strings.HasPrefix(got, "update: web: unhealthy (nginx: configuration file /tmp/ok.conf test failed)") {
		t.Errorf("check: %s", got)
	}
	before, err := e.Health(t.Context(), p)
	if err != nil || len(before) != 1 || before[0].OK() || before[0].Since.IsZero() || before[0].Image != image {
		t.Fatalf("health: %+v, %v", before, err)
	}
	// Apply restarts what is unhealthy.
	if err := s.Apply(t.Context(), host.Local{}); err == nil {
		t.Error("apply of a stack that is unhealthy: no error")
	}
	after, err := e.Health(t.Context(), p)
	if err != nil || !after[0].Since.After(before[0].Since) {
		t.Errorf("health: %+v, %v", after, err)
	}
}

// Docker's own command takes the containers for its own. Debian 12 has version 1
// of it, which goes by the same labels.
func TestDockerCompose(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	p := newProject(t, e)
	if err := e.Up(t.Context(), p, []byte(two(stacktest.Nginx(t, ""), ""))); err != nil {
		t.Fatal(err)
	}
	for _, id := range made(t, api, p) {
		c, err := api.ContainerInspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for label, want := range map[string]string{
			"com.docker.compose.project":              p.Name,
			"com.docker.compose.project.working_dir":  p.Dir,
			"com.docker.compose.project.config_files": p.File,
			"com.docker.compose.oneoff":               "False",
			"com.docker.compose.container-number":     "1",
		} {
			if got := c.Config.Labels[label]; got != want {
				t.Errorf("label %s is %q, want %q", label, got, want)
			}
		}
	}
	t.Run("ps", func(t *testing.T) {
		program, err := exec.LookPath("docker-compose")
		if err != nil {
			t.Skip("no docker-compose: run .ci/tools")
		}
		file := []byte("version: '3'\nservices: {one: {image: x}, two: {image: x}}\n")
		if _, err := (host.Local{}).WriteFile(p.File, host.File{Content: file, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		ps := exec.CommandContext(t.Context(), program, "-p", p.Name, "-f", p.File, "ps")
		out, err := ps.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "one") || !strings.Contains(string(out), "two") || !strings.Contains(string(out), "Up") {
			t.Errorf("%v: %v\n%s", ps, err, out)
		}
	})
}

func TestOperations(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	p := newProject(t, e)
	ctx := t.Context()
	if err := e.Restart(ctx, p); err == nil || !strings.Contains(err.Error(), "regctl up") {
		t.Errorf("restart of nothing: %v", err)
	}
	if err := e.Up(ctx, p, []byte(two(stacktest.Nginx(t, ""), ""))); err != nil {
		t.Fatal(err)
	}
	ids := made(t, api, p)
	states := func() string {
		t.Helper()
		all, err := e.Health(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, h := range all {
			out = append(out, h.Service+" "+h.State)
		}
		return strings.Join(out, ", ")
	}
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"stop", func() error { return e.Stop(ctx, p) }, "one exited, two exited"},
		{"start", func() error { return e.Start(ctx, p) }, "one running, two running"},
		{"restart", func() error { return e.Restart(ctx, p, "two") }, "one running, two running"},
	} {
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := states(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if err := e.Restart(ctx, p, "three"); err == nil || err.Error() != `no service "three"; there are: one, two` {
		t.Errorf("restart of an unknown service: %v", err)
	}
	if now := made(t, api, p); now["one"] != ids["one"] || now["two"] != ids["two"] {
		t.Errorf("containers were %v, are %v", ids, now)
	}

	var said []string
	err := e.Logs(ctx, p, stack.LogOptions{Tail: "all"}, func(service, line string) { said = append(said, service+": "+line) })
	if err != nil || !slices.ContainsFunc(said, func(l string) bool {
		return strings.HasPrefix(l, "one: ") && strings.HasSuffix(l, "start worker processes")
	}) {
		t.Errorf("logs: %v, %v", said, err)
	}
}

// inspect is everything that the engine shows of a project's containers.
func inspect(t *testing.T, api *client.Client, p stack.Project) string {
	t.Helper()
	var all strings.Builder
	for _, id := range made(t, api, p) {
		c, err := api.ContainerInspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&all).Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// The docker command gives containers the proxies of the user's configuration,
// whose passwords docker inspect would show.
func TestNoProxiesInContainers(t *testing.T) {
	dir := t.TempDir()
	config := `{"proxies": {"default": {"httpProxy": "http://u:hunter2@proxy.test:3128"}}}`
	if _, err := (host.Local{}).WriteFile(dir+"/config.json", host.File{Content: []byte(config), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	e, api := connect(t)
	p := newProject(t, e)
	if err := e.Up(t.Context(), p, []byte("services: {web: {image: "+stacktest.Nginx(t, "")+", network_mode: none}}")); err != nil {
		t.Fatal(err)
	}
	if shown := inspect(t, api, p); strings.Contains(shown, "hunter2") || !strings.Contains(shown, p.Name) {
		t.Errorf("docker inspect shows: %s", shown)
	}
}
