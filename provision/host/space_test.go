package host_test

import (
	"fmt"
	"os"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"

	"golang.org/x/sys/unix"
)

// TestLinks compares the machines on links, which neither can make.
func TestLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	memory := hosttest.New(t)
	for path, target := range map[string]string{"abs": dir + "/file", "rel": "file", "twice": "rel", "fd": "socket:[1]"} {
		if err := os.Symlink(target, dir+"/"+path); err != nil {
			t.Fatal(err)
		}
		memory.Symlink(dir+"/"+path, target)
	}
	for name, m := range map[string]host.Machine{"local": local, "memory": memory} {
		if _, err := m.WriteFile(dir+"/file", host.File{Content: []byte("x"), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{"abs": dir + "/file", "rel": "file", "twice": "rel", "fd": "socket:[1]"} {
			if got, err := m.ReadLink(dir + "/" + path); got != want || err != nil {
				t.Errorf("%s: %s points to %q, %v; want %q", name, path, got, err, want)
			}
			f, err := m.ReadFile(dir + "/" + path)
			if path == "fd" && err == nil || path != "fd" && (err != nil || string(f.Content) != "x") {
				t.Errorf("%s: reading %s: %q, %v", name, path, f.Content, err)
			}
		}
	}
}

func TestStatfsOfMounts(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("file systems can only be mounted by root")
	}
	for options, flags := range map[string]uintptr{"ro": unix.MS_RDONLY, "noexec": unix.MS_NOEXEC} {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d,nr_inodes=100", 1<<20)); err != nil {
			t.Skipf("a small file system cannot be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		s, err := local.Statfs(dir)
		if err != nil || s.Bytes != 1<<20 || s.Inodes != 100 || s.FreeInodes < 90 || s.Free < 1<<19 ||
			s.Type != host.Tmpfs || s.ReadOnly != (options == "ro") || s.NoExec != (options == "noexec") {
			t.Errorf("%s: %+v, %v", options, s, err)
		}
	}
}
