package stack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regctl/provision/host"
	"regctl/stack"
	"regctl/stack/stacktest"
)

func TestOwnImage(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	dir := t.TempDir()
	program, installed := stacktest.Regctl(t), filepath.Join(dir, "bin", "regctl")
	s := stack.NewOwnImage(e, program, installed, "test "+dir)
	ref, err := s.Reference()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropImage(t, api, ref) })
	mustConverge(t, s, "create: no image "+ref+" of this regctl")
	again, err := stack.NewOwnImage(e, installed, installed, "test "+dir).Reference()
	if err != nil || again != ref {
		t.Errorf("made of its copy it is %s, %v; want %s", again, err, ref)
	}

	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"version"}, "regctl "},
		{[]string{"--help"}, "up "},
	} {
		out, err := stacktest.Run(t, "", ref, c.argv...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%v says %q, %v", c.argv, out, err)
		}
	}

	// A copy that someone has changed.
	if err := os.WriteFile(installed, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "update: "+installed+" is another regctl than this one")

	for range 2 {
		if err := s.Undo(t.Context(), host.Local{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustCheck(t, s); got != "create: no image "+ref+" of this regctl" {
		t.Errorf("after undo: %s", got)
	}
}

// An image of ours goes when the last container made of it does.
func TestOwnImageIsReplaced(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	p := newProject(t, e)
	there := func(ref string) bool {
		_, err := api.ImageInspect(t.Context(), ref)
		return err == nil
	}
	var last string
	for _, version := range []string{"one", "two"} {
		own := stack.NewOwnImage(e, stacktest.Regctl(t), filepath.Join(p.Dir, "regctl"), version+" "+p.Dir)
		ref, err := own.Reference()
		if err == nil {
			err = own.Apply(t.Context(), host.Local{})
		}
		if err != nil {
			t.Fatal(err)
		}
		s := stack.NewStack(e, p, text("services: {a: {image: '"+ref+"', network_mode: none, command: [serve, --dir, /tmp/x], tmpfs: [/tmp]}}"))
		if err := s.Apply(t.Context(), host.Local{}); err != nil {
			t.Fatal(err)
		}
		if got := mustCheck(t, s); got != "keep: running and healthy: a" {
			t.Errorf("%s: %s", version, got)
		}
		if !there(ref) || last != "" && there(last) {
			t.Errorf("%s: image %s there %t, %q there %t", version, ref, there(ref), last, last != "" && there(last))
		}
		last = ref
	}
	if err := stack.NewStack(e, p, nil).Undo(t.Context(), host.Local{}); err != nil || there(last) {
		t.Errorf("after undo: %s there %t, %v", last, there(last), err)
	}
}

func TestOwnImageRefusesWhatNeedsALoader(t *testing.T) {
	t.Parallel()
	e, err := stack.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		"/bin/cat":    "make build",
		"/etc/passwd": "bad magic number",
		"/none":       "no such file",
	} {
		_, err := stack.NewOwnImage(e, program, "/none", "v").Reference()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), program) {
			t.Errorf("%s: %v", program, err)
		}
	}
}
