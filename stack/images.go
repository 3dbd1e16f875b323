package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"regctl/provision/host"
	"regctl/provision/step"
)

// The images of the parts that are not regctl's own. Tags that get security
// rebuilds; images.lock holds them still between upgrades.
const (
	NginxImage    = "nginx:1.30-alpine" // stable branch
	RegistryImage = "registry:3.1"
	MongoImage    = "mongo:8.0" // the release with long support: 8.1 and later are replaced every few months
	// MongoUIImage stands in for the article's mongoclient, which ended in
	// 2019: the only UI of MongoDB among Docker's official images.
	MongoUIImage = "mongo-express:1.0.2"
)

// Images is the step that pulls what is missing and pins it.
type Images struct {
	engine *Engine
	lock   string
	refs   []string
	nginx  string
}

// NewImages makes the step. Lock is the path of images.lock, refs the
// references as in regctl.yaml; nginx is the one among them whose version is
// wanted, or empty.
func NewImages(e *Engine, lock string, refs []string, nginx string) *Images {
	return &Images{e, lock, slices.Compact(slices.Sorted(slices.Values(refs))), nginx}
}

// Name implements [step.Step].
func (*Images) Name() string { return "images" }

// Check implements [step.Step].
func (s *Images) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	if len(s.refs) == 0 {
		return step.Keep.Because("no images but regctl's own"), nil
	}
	lock, err := ReadLock(l, s.lock)
	if err != nil {
		return step.Change{}, err
	}
	if err := s.engine.Ping(ctx); errors.Is(err, ErrNoEngine) {
		return noEngineYet(), nil
	} else if err != nil {
		return step.Change{}, err
	}
	var missing, unpinned []string
	for _, ref := range s.refs {
		id, _, err := s.engine.imageOf(ctx, lock.Reference(ref))
		pin := lock.Images[ref]
		switch {
		case err != nil:
			return step.Change{}, err
		case id == "":
			missing = append(missing, lock.Reference(ref))
		case pin.ID == "":
			unpinned = append(unpinned, ref+" is not pinned")
		case pin.ID != id:
			unpinned = append(unpinned, ref+" is another image than the one pinned")
		case ref == s.nginx && pin.Nginx == "":
			unpinned = append(unpinned, "version of "+ref+" is not known")
		}
	}
	switch {
	case missing != nil:
		return step.Create.Because("not on this host: %s", strings.Join(missing, ", ")), nil
	case unpinned != nil:
		return step.Update.Because("%s", strings.Join(unpinned, ", ")), nil
	}
	return step.Keep.Because("%d images are here and pinned", len(s.refs)), nil
}

// Apply implements [step.Step].
func (s *Images) Apply(ctx context.Context, m host.Machine) error {
	lock, err := ReadLock(m, s.lock)
	if err != nil {
		return err
	}
	pins := map[string]Pin{}
	for _, ref := range s.refs {
		if pins[ref], err = s.pin(ctx, ref, lock); err != nil {
			return err
		}
		// One by one, so that what was pulled before an interruption is pinned.
		lock.Images[ref] = pins[ref]
		if err := lock.write(m, s.lock); err != nil {
			return err
		}
	}
	return Lock{pins}.write(m, s.lock)
}

// pin pulls an image if it is missing, and says which one it is.
func (s *Images) pin(ctx context.Context, ref string, lock Lock) (Pin, error) {
	pinned := lock.Reference(ref)
	id, digest, err := s.engine.imageOf(ctx, pinned)
	if err == nil && id == "" {
		if err = s.engine.pull(ctx, pinned); err == nil {
			id, digest, err = s.engine.imageOf(ctx, pinned)
		}
	}
	if err != nil {
		return Pin{}, err
	}
	pin := lock.Images[ref]
	if pin.ID != id {
		pin = Pin{ID: id}
	}
	pin.Digest = digest
	if ref == s.nginx && pin.Nginx == "" {
		pin.Nginx, pin.OpenSSL, err = s.engine.NginxVersion(ctx, id)
	}
	return pin, err
}

// imageOf is the id of an image of the engine, empty if there is none, and
// its digest in ref's repository, if it came from there.
func (e *Engine) imageOf(ctx context.Context, ref string) (id, digest string, err error) {
	img, err := e.api.ImageInspect(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("looking for image %s: %w", ref, err)
	}
	return img.ID, repoDigest(ref, img.RepoDigests), nil
}

// PullError is an image that is neither on the host nor to be had.
type PullError struct {
	Reference string
	Registry  string // the host it would come from
	Err       error
}

// Error implements error.
func (e *PullError) Error() string {
	return fmt.Sprintf("pulling %s from %s: %v", e.Reference, e.Registry, e.Err)
}

// Unwrap returns the cause.
func (e *PullError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *PullError) Hint() string {
	return fmt.Sprintf("let this host reach %s, load the image yourself (docker load), name another one under images: in regctl.yaml, or set images: builtin, which pulls nothing", e.Registry)
}

// pull pulls an image and reports its bytes.
func (e *Engine) pull(ctx context.Context, ref string) error {
	failed := func(err error) error { return &PullError{ref, registryOf(ref), err} }
	credentials, err := e.credentials(ref)
	if err != nil {
		return failed(err)
	}
	answer, err := e.api.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: credentials})
	if err != nil {
		return failed(err)
	}
	defer answer.Close()
	layers := map[string]message{}
	err = readProgress(answer, func(m message) {
		if m.Status == "Downloading" || m.Status == "Download complete" || m.Status == "Already exists" {
			if m.Progress.Total == 0 { // the latter two have no numbers
				m.Progress = layers[m.ID].Progress
				m.Progress.Current = m.Progress.Total
			}
			layers[m.ID] = m
		}
		p := step.Progress{Text: fmt.Sprintf("pulling %s, %d layers", ref, len(layers))}
		for _, l := range layers {
			p.Done += l.Progress.Current
			p.Total += l.Progress.Total
		}
		step.Report(ctx, p)
	})
	if err != nil {
		return failed(err)
	}
	return nil
}

// credentials are those of `docker login` for ref's registry, as the engine
// wants them.
func (e *Engine) credentials(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	server := reference.Domain(named)
	if server == "docker.io" {
		server = "https://index.docker.io/v1/" // its name in config.json
	}
	known, err := e.cli.ConfigFile().GetAuthConfig(server)
	if err != nil {
		return "", fmt.Errorf("reading the login of %s: %w", server, err)
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{
		Username: known.Username, Password: known.Password, Auth: known.Auth,
		ServerAddress: known.ServerAddress, IdentityToken: known.IdentityToken, RegistryToken: known.RegistryToken,
	})
}
