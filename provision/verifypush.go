package provision

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// pushLimit is how long the push of a tiny image may take.
const pushLimit = 15 * time.Second

// newImage is an image that no registry has: two layers of random bytes.
func newImage() (v1.Image, error) {
	return random.Image(4<<10, 2)
}

// options are those of the guest as a registry client that never tries twice.
func (v *verification) options(ctx context.Context, through http.RoundTripper) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(through),
		remote.WithAuth(&authn.Basic{Username: v.guest.name(), Password: v.guest.password.Reveal()}),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
}

func (v *verification) repo(path string) (name.Repository, error) {
	return name.NewRepository(v.authority(v.Host)+"/"+path, name.StrictValidation)
}

// write pushes the image to a repository, with the guest's tag. It is not
// interrupted: what the registry does with half a request shows later.
func (v *verification) write(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushLimit)
	defer cancel()
	repo, err := v.repo(path)
	if err != nil {
		return err
	}
	v.guest.pushed[path] = true
	return remote.Write(repo.Tag(v.guest.tag()), v.image, v.options(ctx, v.transport)...)
}

func (v *verification) push(ctx context.Context) (string, error) {
	if err := v.write(ctx, firstRepo); err != nil {
		return "", err
	}
	return "an image of two layers to " + firstRepo, nil
}

// pull reads the image by its digest and compares all of it.
func (v *verification) pull(ctx context.Context) (string, error) {
	repo, err := v.repo(firstRepo)
	if err != nil {
		return "", err
	}
	digest, err := v.image.Digest()
	if err != nil {
		return "", err
	}
	pulled, err := remote.Image(repo.Digest(digest.String()), v.options(ctx, v.transport)...)
	if err != nil {
		return "", err
	}
	if err := sameImage(v.image, pulled); err != nil {
		return "", err
	}
	return digest.String() + " came back as it was", nil
}

func sameImage(want, got v1.Image) error {
	for _, part := range []func(v1.Image) ([]byte, error){v1.Image.RawManifest, v1.Image.RawConfigFile} {
		a, err := part(want)
		if err != nil {
			return err
		}
		b, err := part(got)
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return errors.New("the manifest or configuration that comes back is another one")
		}
	}
	layers, err := want.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		back, err := got.LayerByDigest(digest)
		if err != nil {
			return err
		}
		if err := sameLayer(layer, back); err != nil {
			return err
		}
	}
	return nil
}

func sameLayer(want, got v1.Layer) error {
	a, err := content(want)
	if err != nil {
		return err
	}
	b, err := content(got)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return errors.New("the layer that comes back is another one")
	}
	return nil
}

func content(l v1.Layer) ([]byte, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, 1<<20))
}

// mount puts the layers into another repository. The registry must take them
// from the first one: clients send them when it does not, and nobody notices.
func (v *verification) mount(ctx context.Context) (string, error) {
	first, err := v.repo(firstRepo)
	if err != nil {
		return "", err
	}
	second, err := v.repo(secondRepo)
	if err != nil {
		return "", err
	}
	layers, err := v.image.Layers()
	if err != nil {
		return "", err
	}
	for _, layer := range layers {
		seen := &uploads{inner: v.transport}
		source := &remote.MountableLayer{Layer: layer, Reference: first.Tag(v.guest.tag())}
		if err := remote.WriteLayer(second, source, v.options(ctx, seen)...); err != nil {
			return "", err
		}
		if got := strings.Join(seen.answers, ", "); got != "POST 201" {
			return "", fmt.Errorf("the registry did not mount a layer of another repository: it answered %s", cmp.Or(got, "nothing"))
		}
		digest, err := layer.Digest()
		if err != nil {
			return "", err
		}
		back, err := remote.Layer(second.Digest(digest.String()), v.options(ctx, v.transport)...)
		if err != nil {
			return "", err
		}
		if err := sameLayer(layer, back); err != nil {
			return "", err
		}
	}
	return "201 for both layers, nothing was sent again", nil
}

// uploads is a transport that notes the answers to a client's upload requests,
// without those that made it fetch a token.
type uploads struct {
	inner   http.RoundTripper
	mu      sync.Mutex
	answers []string // "POST 201"
}

// RoundTrip implements [http.RoundTripper].
func (u *uploads) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.inner.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, "/blobs/uploads/") && resp.StatusCode != http.StatusUnauthorized {
		u.mu.Lock()
		u.answers = append(u.answers, fmt.Sprintf("%s %d", r.Method, resp.StatusCode))
		u.mu.Unlock()
	}
	return resp, err
}

// denied pushes to a repository that the guest may only read.
func (v *verification) denied(ctx context.Context) (string, error) {
	err := v.write(ctx, deniedRepo)
	if err == nil {
		return "", fmt.Errorf("a push to %s was accepted, and the account may only pull from there", deniedRepo)
	}
	if !answered(err, http.StatusUnauthorized, http.StatusForbidden) {
		return "", fmt.Errorf("a push without the right to was not refused but ended with: %w", err)
	}
	switch there, err := v.has(ctx, deniedRepo); {
	case err != nil:
		return "", fmt.Errorf("looking for what a refused push has left: %w", err)
	case there:
		return "", fmt.Errorf("a push to %s was refused, and yet the image is there", deniedRepo)
	}
	return "a push to " + deniedRepo + " is refused, and nothing is there", nil
}

// has says whether a repository has the guest's tag.
func (v *verification) has(ctx context.Context, path string) (bool, error) {
	repo, err := v.repo(path)
	if err != nil {
		return false, err
	}
	_, err = remote.Head(repo.Tag(v.guest.tag()), v.options(ctx, v.transport)...)
	if answered(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// answered says whether err is an answer with one of these status codes.
func answered(err error, codes ...int) bool {
	refused, ok := errors.AsType[*transport.Error](err)
	return ok && slices.Contains(codes, refused.StatusCode)
}
