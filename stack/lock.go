package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"

	"regctl/provision/host"
)

// Lock is images.lock: which images the references in regctl.yaml stood for
// when they were first pulled, so that containers are not made of others
// later because a tag has moved.
type Lock struct {
	Images map[string]Pin `yaml:"images"`
}

// Pin is one image.
type Pin struct {
	// Digest is what the registry calls it: "sha256:…". Empty for an image that
	// was built or imported on this host; ID alone holds that one.
	Digest string `yaml:"digest,omitempty"`
	// ID is what the engine calls it.
	ID string `yaml:"id"`
	// Nginx and OpenSSL are the versions in an image of nginx.
	Nginx   string `yaml:"nginx,omitempty"`
	OpenSSL string `yaml:"openssl,omitempty"`
}

const lockHead = "# Written by regctl: the images that the references stood for when they were pulled.\n"

// ReadLock reads images.lock. No file is an empty Lock.
func ReadLock(l host.Looker, path string) (Lock, error) {
	lock := Lock{Images: map[string]Pin{}}
	file, err := l.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	if err == nil {
		d := yaml.NewDecoder(bytes.NewReader(file.Content))
		d.KnownFields(true)
		err = d.Decode(&lock)
	}
	if err != nil {
		return Lock{}, fmt.Errorf("reading %s (remove it to pin the images anew): %w", path, err)
	}
	return lock, nil
}

func (k Lock) write(m host.Machine, path string) error {
	text, err := yaml.Marshal(k)
	if err != nil {
		return err
	}
	_, err = m.WriteFile(path, host.File{Content: append([]byte(lockHead), text...), Mode: 0o644})
	return err
}

// Reference is what ref is in compose.yaml: with the digest it is pinned to,
// or as it is.
func (k Lock) Reference(ref string) string {
	if pin := k.Images[ref]; pin.Digest != "" && !strings.Contains(ref, "@") {
		return ref + "@" + pin.Digest
	}
	return ref
}

// repoDigest picks from an image's digests that of ref's repository.
func repoDigest(ref string, digests []string) string {
	want, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	for _, text := range digests {
		got, err := reference.ParseNormalizedNamed(text)
		if canonical, ok := got.(reference.Canonical); err == nil && ok && got.Name() == want.Name() {
			return canonical.Digest().String()
		}
	}
	return ""
}

// registryOf is the host that ref is pulled from.
func registryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "?"
	}
	return reference.Domain(named)
}
