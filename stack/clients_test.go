package stack

// The tests of the whole: real clients against real registries behind our
// edge, with tokens of our auth server.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// account is how a client logs in.
type account struct{ user, password string }

// client is a registry client as its users run it. A nil delete is a client
// that has no such command.
type client struct {
	name string
	// login checks an account, in the client's own way.
	login func(t *testing.T, ctx context.Context, registry string, who account) error
	// push sends the test image to ref.
	push func(t *testing.T, ctx context.Context, ref string, who account) error
	// copyTo sends what the client knows from ref to another repository, whose
	// registry has the layers already.
	copyTo func(t *testing.T, ctx context.Context, from, to string, who account) error
	// pull fetches repository@digest.
	pull   func(t *testing.T, ctx context.Context, ref string, who account) error
	delete func(t *testing.T, ctx context.Context, ref string, who account) error
}

// clients returns those that this machine has, and why the others are missing.
func clients(t *testing.T, image *testImage) (have []client, missing []string) {
	have = append(have, goContainerRegistry(image))
	for program, make := range map[string]func(*testing.T, *testImage, string) (client, error){
		"skopeo": skopeo, "podman": podman, "docker": docker, "ctr": containerd,
	} {
		path, err := exec.LookPath(program)
		if err == nil {
			var c client
			if c, err = make(t, image, path); err == nil {
				have = append(have, c)
				continue
			}
		}
		missing = append(missing, fmt.Sprintf("%s: %v", program, err))
	}
	return have, missing
}

// output runs a program and returns an error with all it printed.
func output(ctx context.Context, env []string, stdin string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out.String())
	}
	return out.String(), nil
}

func run(ctx context.Context, env []string, argv ...string) error {
	_, err := output(ctx, env, "", argv...)
	return err
}

func goContainerRegistry(image *testImage) client {
	options := func(ctx context.Context, who account) []remote.Option {
		return []remote.Option{remote.WithContext(ctx), remote.WithAuth(basicAuth(who))}
	}
	return client{
		name: "go-containerregistry",
		login: func(t *testing.T, ctx context.Context, registry string, who account) error {
			reg, err := name.NewRegistry(registry)
			if err != nil {
				return err
			}
			_, err = transport.NewWithContext(ctx, reg, basicAuth(who), http.DefaultTransport, nil)
			return err
		},
		push: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return remote.Write(parse(t, ref), image.v1, options(ctx, who)...)
		},
		copyTo: func(t *testing.T, ctx context.Context, from, to string, who account) error {
			img, err := remote.Image(parse(t, from), options(ctx, who)...)
			if err != nil {
				return err
			}
			return remote.Write(parse(t, to), img, options(ctx, who)...)
		},
		pull: func(t *testing.T, ctx context.Context, ref string, who account) error {
			img, err := remote.Image(parse(t, ref), options(ctx, who)...)
			if err != nil {
				return err
			}
			layers, err := img.Layers()
			for _, l := range layers {
				err = errors.Join(err, readAll(l))
			}
			return err
		},
		delete: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return remote.Delete(parse(t, ref), options(ctx, who)...)
		},
	}
}

func basicAuth(who account) authn.Authenticator {
	return &authn.Basic{Username: who.user, Password: who.password}
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readAll(l v1.Layer) error {
	r, err := l.Compressed() // verifies the digest as it is read
	if err != nil {
		return err
	}
	defer r.Close()
	var sink bytes.Buffer
	_, err = sink.ReadFrom(r)
	return err
}

// skopeo 1.x, which shares its transport with podman and buildah.
func skopeo(t *testing.T, image *testImage, path string) (client, error) {
	auth := filepath.Join(t.TempDir(), "auth.json")
	env := []string{"REGISTRY_AUTH_FILE=" + auth}
	creds := func(who account) string { return who.user + ":" + who.password }
	return client{
		name: "skopeo",
		login: func(t *testing.T, ctx context.Context, registry string, who account) error {
			_, err := output(ctx, env, who.password, path, "login", "--tls-verify=false", "-u", who.user, "--password-stdin", registry)
			return err
		},
		push: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return run(ctx, env, path, "copy", "--dest-tls-verify=false", "--dest-creds", creds(who), "docker-archive:"+image.tar, "docker://"+ref)
		},
		copyTo: func(t *testing.T, ctx context.Context, from, to string, who account) error {
			return run(ctx, env, path, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", creds(who), "--dest-creds", creds(who), "docker://"+from, "docker://"+to)
		},
		pull: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return run(ctx, env, path, "copy", "--src-tls-verify=false", "--src-creds", creds(who), "docker://"+ref, "dir:"+t.TempDir())
		},
		delete: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return run(ctx, env, path, "delete", "--tls-verify=false", "--creds", creds(who), "docker://"+ref)
		},
	}, nil
}

func podman(t *testing.T, image *testImage, path string) (client, error) {
	if os.Geteuid() != 0 {
		return client{}, errors.New("needs root to store images")
	}
	state := t.TempDir()
	env := []string{"REGISTRY_AUTH_FILE=" + filepath.Join(state, "auth.json")}
	podman := func(ctx context.Context, stdin string, args ...string) error {
		global := []string{path, "--root", filepath.Join(state, "root"), "--runroot", filepath.Join(state, "run"), "--tmpdir", filepath.Join(state, "tmp"), "--storage-driver", "vfs"}
		_, err := output(ctx, env, stdin, append(global, args...)...)
		return err
	}
	if err := podman(t.Context(), "", "load", "-i", image.tar); err != nil {
		return client{}, err
	}
	creds := func(who account) string { return who.user + ":" + who.password }
	push := func(ctx context.Context, ref string, who account) error {
		return podman(ctx, "", "push", "--tls-verify=false", "--creds", creds(who), image.name, "docker://"+ref)
	}
	return client{
		name: "podman",
		login: func(t *testing.T, ctx context.Context, registry string, who account) error {
			return podman(ctx, who.password, "login", "--tls-verify=false", "-u", who.user, "--password-stdin", registry)
		},
		push: func(t *testing.T, ctx context.Context, ref string, who account) error { return push(ctx, ref, who) },
		copyTo: func(t *testing.T, ctx context.Context, from, to string, who account) error {
			return push(ctx, to, who)
		},
		pull: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return podman(ctx, "", "pull", "--tls-verify=false", "--creds", creds(who), ref)
		},
	}, nil
}

// docker is the CLI with its daemon, which must trust loopback registries.
func docker(t *testing.T, image *testImage, path string) (client, error) {
	env := []string{"DOCKER_CONFIG=" + t.TempDir()}
	docker := func(ctx context.Context, stdin string, args ...string) error {
		_, err := output(ctx, env, stdin, append([]string{path}, args...)...)
		return err
	}
	if err := docker(t.Context(), "", "version"); err != nil {
		return client{}, err
	}
	if err := docker(t.Context(), "", "load", "-i", image.tar); err != nil {
		return client{}, err
	}
	remove := func(ref string) {
		t.Cleanup(func() { docker(context.Background(), "", "rmi", "--force", ref) })
	}
	remove(image.name)
	login := func(ctx context.Context, registry string, who account) error {
		return docker(ctx, who.password, "login", "-u", who.user, "--password-stdin", registry)
	}
	push := func(ctx context.Context, ref string, who account) error {
		registry, _, _ := strings.Cut(ref, "/")
		if err := login(ctx, registry, who); err != nil {
			return err
		}
		if err := docker(ctx, "", "tag", image.name, ref); err != nil {
			return err
		}
		remove(ref)
		return docker(ctx, "", "push", ref)
	}
	return client{
		name: "docker",
		login: func(t *testing.T, ctx context.Context, registry string, who account) error {
			return login(ctx, registry, who)
		},
		push: func(t *testing.T, ctx context.Context, ref string, who account) error { return push(ctx, ref, who) },
		copyTo: func(t *testing.T, ctx context.Context, from, to string, who account) error {
			return push(ctx, to, who)
		},
		pull: func(t *testing.T, ctx context.Context, ref string, who account) error {
			registry, _, _ := strings.Cut(ref, "/")
			if err := login(ctx, registry, who); err != nil {
				return err
			}
			remove(ref)
			return docker(ctx, "", "pull", ref)
		},
	}, nil
}

// containerd, by its own client, asks for tokens by POST first, as Docker does
// since it stores images in containerd.
func containerd(t *testing.T, image *testImage, path string) (client, error) {
	const namespace = "regctl-test"
	var socket string
	for _, s := range []string{"/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock"} {
		if _, err := os.Stat(s); err == nil {
			socket = s
		}
	}
	if socket == "" {
		return client{}, errors.New("no containerd is running")
	}
	ctr := func(ctx context.Context, args ...string) error {
		return run(ctx, nil, append([]string{path, "--address", socket, "--namespace", namespace}, args...)...)
	}
	if err := ctr(t.Context(), "images", "import", "--no-unpack", image.tar); err != nil {
		return client{}, err
	}
	t.Cleanup(func() {
		ctx := context.Background()
		list, _ := output(ctx, nil, "", path, "--address", socket, "--namespace", namespace, "images", "ls", "-q")
		ctr(ctx, append([]string{"images", "rm", "--sync"}, strings.Fields(list)...)...)
		ctr(ctx, "namespaces", "rm", namespace)
	})
	push := func(ctx context.Context, ref string, who account) error {
		return ctr(ctx, "images", "push", "--plain-http", "--user", who.user+":"+who.password, ref, image.name)
	}
	return client{
		name: "containerd",
		push: func(t *testing.T, ctx context.Context, ref string, who account) error { return push(ctx, ref, who) },
		pull: func(t *testing.T, ctx context.Context, ref string, who account) error {
			return ctr(ctx, "content", "fetch", "--plain-http", "--user", who.user+":"+who.password, ref)
		},
	}, nil
}
