package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regctl/stack/stacktest"
)

// The life of an installation's containers by commands: nothing is printed but
// by regctl itself.
func TestContainers(t *testing.T) {
	t.Parallel()
	image := stacktest.Nginx(t, "")
	dir := t.TempDir()
	name := fmt.Sprintf("regctl-cli-%d", os.Getpid())
	for file, text := range map[string]string{
		"regctl.yaml":  "version: 1\nname: " + name + "\nhost: registry.test\ntls: {mode: local}\n",
		"compose.yaml": "services: {web: {image: " + image + ", network_mode: none, healthcheck: {test: [CMD, nginx, -t], interval: 1s}}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, notes bytes.Buffer
		e := &env{stdin: &bytes.Buffer{}, stdout: &out, stderr: &notes, now: time.Now}
		args = append(args, "--dir", dir)
		if code := run(context.WithoutCancel(t.Context()), args, e); code != codeDone {
			t.Fatalf("regctl %s: exit %d\n%s", strings.Join(args, " "), code, notes.String())
		}
		return out.String(), notes.String()
	}
	t.Cleanup(func() { do("down") })

	if _, notes := do("up"); !strings.Contains(notes, "container "+name+"-web-1: start") {
		t.Errorf("up notes %q", notes)
	}
	if _, notes := do("up"); strings.Contains(notes, "created") {
		t.Errorf("the second up notes %q", notes)
	}
	do("restart", "web")
	if out, _ := do("logs", "--tail", "all", "web"); !strings.Contains(out, "web | ") || !strings.Contains(out, "start worker processes") {
		t.Errorf("logs: %q", out)
	}
	do("down")
	if out, notes := do("down"); out != "" || notes != "" {
		t.Errorf("the second down prints %q, %q", out, notes)
	}
}
