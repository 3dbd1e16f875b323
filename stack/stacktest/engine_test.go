package stacktest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"regctl/stack/stacktest"
)

// Two namespaces reach each other; an engine in one of them runs a container
// on its network, sees the hosts file it was given, and starts the container
// again after it was stopped.
func TestEngineInNamespace(t *testing.T) {
	t.Parallel()
	server, other := stacktest.Namespace(t), stacktest.Namespace(t)
	addr, _ := stacktest.Join(t, server, other, "10.99.0.0/30")
	stacktest.Join(t, server, other, "fd99::/64")

	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n10.99.0.2 registry.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := stacktest.StartEngine(t, server, hosts+":/etc/hosts")
	c := stacktest.Client(t, e.Host())
	// It knows nothing of the machine's own engine.
	if list, err := c.ContainerList(t.Context(), container.ListOptions{All: true}); err != nil || len(list) != 0 {
		t.Errorf("containers: %v, %v", list, err)
	}
	made, err := c.ContainerCreate(t.Context(), &container.Config{Image: stacktest.Nginx(t, e.Host())}, &container.HostConfig{
		NetworkMode: "host", RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
		Binds: []string{"/etc/hosts:/tmp/hosts:ro"},
	}, nil, nil, "web")
	if err == nil {
		err = c.ContainerStart(t.Context(), made.ID, container.StartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "http://"+addr.String()+"/", other)
	if _, err := fetch(t.Context(), "http://127.0.0.1/", other); err == nil {
		t.Error("something answers on port 80 of the other namespace")
	}

	e.Stop()
	e.Start()
	await(t, "http://"+addr.String()+"/", other)
	if list, err := c.ContainerList(t.Context(), container.ListOptions{}); err != nil || len(list) != 1 {
		t.Errorf("containers after a restart: %v, %v", list, err)
	}
}

// fetch gets a URL from inside a namespace.
func fetch(ctx context.Context, url, namespace string) (string, error) {
	out, err := stacktest.In(ctx, namespace, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", url).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func await(t *testing.T, url, namespace string) {
	t.Helper()
	var last string
	for over := time.Now().Add(time.Minute); time.Now().Before(over); time.Sleep(100 * time.Millisecond) {
		var err error
		if last, err = fetch(t.Context(), url, namespace); err == nil && last == "204" {
			return
		}
	}
	t.Fatalf("%s from %s: %s", url, namespace, last)
}

// What tests leave when they are killed is removed by the next.
func TestNothingIsLeft(t *testing.T) {
	var namespace string
	t.Run("a test", func(t *testing.T) { namespace = stacktest.Namespace(t) })
	if out, err := exec.Command("ip", "netns", "list").CombinedOutput(); err != nil || strings.Contains(string(out), namespace) {
		t.Errorf("%s is left: %s, %v", namespace, out, err)
	}
}
