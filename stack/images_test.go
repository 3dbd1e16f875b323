package stack_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"regctl/provision/host"
	"regctl/provision/step"
	"regctl/stack"
	"regctl/stack/stacktest"
)

// source is a registry on a loopback port, which engines take without TLS.
func source(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// push puts another random image under ref.
func push(t *testing.T, ref string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err == nil {
		err = remote.Write(tag, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func lockOf(t *testing.T, path string) stack.Lock {
	t.Helper()
	lock, err := stack.ReadLock(host.Local{}, path)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func TestImages(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	ref := source(t) + "/some/image:1"
	want, err := push(t, ref).Digest()
	if err != nil {
		t.Fatal(err)
	}
	local := stacktest.Nginx(t, "")
	lock := filepath.Join(t.TempDir(), "images.lock")
	s := stack.NewImages(e, lock, []string{ref, local, ref}, local)

	var mu sync.Mutex
	var reports []string
	ctx := step.WithProgress(t.Context(), func(p step.Progress) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, p.Text)
	})
	if got := mustCheck(t, s); got != "create: not on this host: "+ref {
		t.Fatal(got)
	}
	if err := s.Apply(ctx, host.Local{}); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "keep: 2 images are here and pinned")
	pinned := ref + "@" + want.String()
	t.Cleanup(func() { dropImage(t, api, pinned) })
	if len(reports) == 0 || !strings.HasPrefix(reports[len(reports)-1], "pulling "+ref) {
		t.Errorf("reports: %q", reports)
	}

	k := lockOf(t, lock)
	if got := k.Reference(ref); got != pinned {
		t.Errorf("pinned: %s, want %s", got, pinned)
	}
	// An image made here is used as it is.
	if pin := k.Images[local]; k.Reference(local) != local || pin.ID == "" || !strings.Contains(local, "nginx:"+pin.Nginx+"-") || pin.OpenSSL == "" {
		t.Errorf("%s: %+v", local, pin)
	}

	// The tag moves, and is pulled no more; the digest is, if need be.
	push(t, ref)
	if got := mustCheck(t, s); got != "keep: 2 images are here and pinned" {
		t.Error(got)
	}
	if _, err := api.ImageRemove(t.Context(), pinned, image.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	api.ImageRemove(t.Context(), ref, image.RemoveOptions{Force: true})
	mustConverge(t, s, "create: not on this host: "+pinned)
	if got := lockOf(t, lock).Reference(ref); got != pinned {
		t.Errorf("pulled again: %s, want %s", got, pinned)
	}
}

// An image that is made here anew is told, and pinned anew.
func TestImageMadeAnew(t *testing.T) {
	t.Parallel()
	e, api := connect(t)
	lock := filepath.Join(t.TempDir(), "images.lock")
	ref := fmt.Sprintf("regctl-test/anew-%d-%d:1", os.Getpid(), projects.Add(1))
	t.Cleanup(func() { dropImage(t, api, ref) })
	s := stack.NewImages(e, lock, []string{ref}, "")
	if err := api.ImageTag(t.Context(), stacktest.Nginx(t, ""), ref); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "update: "+ref+" is not pinned")
	if err := api.ImageTag(t.Context(), stacktest.Registry(t, ""), ref); err != nil {
		t.Fatal(err)
	}
	mustConverge(t, s, "update: "+ref+" is another image than the one pinned")
}

func TestPullFails(t *testing.T) {
	t.Parallel()
	e, _ := connect(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for ref, cause := range map[string]string{
		source(t) + "/none:1":           "not found",
		closed.Addr().String() + "/x:1": "connection refused",
		"127.0.0.1:1/Not A Reference":   "invalid reference format",
	} {
		lock := filepath.Join(t.TempDir(), "images.lock")
		err := stack.NewImages(e, lock, []string{ref}, "").Apply(t.Context(), host.Local{})
		if err == nil || !strings.Contains(err.Error(), cause) || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: %v, want %s", ref, err, cause)
		}
		if found, _ := host.Exists(host.Local{}, lock); found {
			t.Errorf("%s: pinned nevertheless", ref)
		}
	}
	pull := stack.PullError{Reference: "nginx:1", Registry: "docker.io", Err: net.ErrClosed}
	if hint := pull.Hint(); !strings.Contains(hint, "docker.io") || !strings.Contains(hint, "builtin") {
		t.Error(hint)
	}
}

func TestNginxVersion(t *testing.T) {
	t.Parallel()
	e, _ := connect(t)
	ref := stacktest.Nginx(t, "")
	version, openssl, err := e.NginxVersion(t.Context(), ref)
	if err != nil || !strings.Contains(ref, "nginx:"+version+"-") || !strings.HasPrefix(openssl, "3.") {
		t.Errorf("%s: nginx %s, OpenSSL %s, %v", ref, version, openssl, err)
	}
	if _, _, err := e.NginxVersion(t.Context(), stacktest.Registry(t, "")); err == nil || !strings.Contains(err.Error(), "regctl-test/registry") {
		t.Errorf("of a registry: %v", err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "images.lock")
	if k, err := stack.ReadLock(host.Local{}, path); err != nil || k.Reference("a:1") != "a:1" {
		t.Errorf("no file: %v, %v", k, err)
	}
	const digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	k := stack.Lock{Images: map[string]stack.Pin{"a:1": {Digest: digest}, "b@" + digest: {Digest: digest}, "c": {ID: digest}}}
	for ref, want := range map[string]string{"a:1": "a:1@" + digest, "b@" + digest: "b@" + digest, "c": "c", "d": "d"} {
		if got := k.Reference(ref); got != want {
			t.Errorf("%s is pinned to %s, want %s", ref, got, want)
		}
	}
	for _, text := range []string{"images: [", "imagez: {}\n", "images: {a: {idd: x}}\n"} {
		if _, err := (host.Local{}).WriteFile(path, host.File{Content: []byte(text), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := stack.ReadLock(host.Local{}, path); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
