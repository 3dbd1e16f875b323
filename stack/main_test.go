package stack_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"regctl/provision/host"
	"regctl/provision/step"
	"regctl/stack"
	"regctl/stack/stacktest"
)

// connect finds this machine's engine, and skips the test if there is none.
func connect(t *testing.T) (*stack.Engine, *client.Client) {
	t.Helper()
	api := stacktest.Client(t, "")
	e, err := stack.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, api
}

// projects counts the projects of this process, for their names.
var projects atomic.Int64

// newProject is a project with a directory and no containers, which are gone
// again when the test is over.
func newProject(t *testing.T, e *stack.Engine) stack.Project {
	t.Helper()
	dir := t.TempDir()
	p := stack.Project{
		Name: fmt.Sprintf("regctl-test-%d-%d", os.Getpid(), projects.Add(1)),
		Dir:  dir, File: filepath.Join(dir, "compose.yaml"),
	}
	t.Cleanup(func() {
		if err := e.Down(context.WithoutCancel(t.Context()), p); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return p
}

// mustCheck is what a step says.
func mustCheck(t *testing.T, s step.Step) string {
	t.Helper()
	change, err := s.Check(t.Context(), host.Local{}.Looker())
	if err != nil {
		t.Fatalf("%s: check: %v", s.Name(), err)
	}
	return change.String()
}

// mustConverge applies a step that says want, and has it say keep afterwards.
func mustConverge(t *testing.T, s step.Step, want string) {
	t.Helper()
	if got := mustCheck(t, s); got != want {
		t.Fatalf("%s: %q, want %q", s.Name(), got, want)
	}
	for range 2 {
		if err := s.Apply(t.Context(), host.Local{}); err != nil {
			t.Fatalf("%s: apply: %v", s.Name(), err)
		}
		if got := mustCheck(t, s); !strings.HasPrefix(got, "keep: ") {
			t.Fatalf("%s: after apply: %q", s.Name(), got)
		}
	}
}

// dropImage removes an image when a test is over.
func dropImage(t *testing.T, api *client.Client, ref string) {
	t.Helper()
	_, err := api.ImageRemove(context.WithoutCancel(t.Context()), ref, image.RemoveOptions{Force: true})
	if err != nil && !cerrdefs.IsNotFound(err) {
		t.Errorf("cleaning up: %v", err)
	}
}
