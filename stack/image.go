package stack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	ownRepository = "regctl"
	// ownLabel marks our own images; its value is the version of regctl.
	ownLabel = "io.regctl.version"
	// hostCAs is where Debian and Ubuntu have the certificates of all CAs.
	hostCAs = "/etc/ssl/certs/ca-certificates.crt"
)

// ownImage is an image of one layer: the program, a user for it, and the CAs
// that the host trusts. The same program and CAs make the same image.
type ownImage struct {
	v1.Image
	layer *layer
	tag   name.Tag
}

// assemble makes the image of a program. Nothing of it is kept in memory.
func assemble(program, version string) (*ownImage, error) {
	if err := checkStatic(program); err != nil {
		return nil, err
	}
	files, err := ownFiles(program)
	if err != nil {
		return nil, err
	}
	l, err := newLayer(files)
	if err != nil {
		return nil, fmt.Errorf("assembling an image of %s: %w", program, err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Created:      v1.Time{Time: time.Unix(0, 0).UTC()},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{l.digest}},
		Config: v1.Config{
			Entrypoint: []string{"/regctl"},
			Labels:     map[string]string{ownLabel: version},
			Env:        []string{"PATH=/"},
		},
	})
	if err != nil {
		return nil, err
	}
	id, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	tag, err := name.NewTag(ownRepository + ":" + id.Hex[:12])
	return &ownImage{img, l, tag}, err
}

// checkStatic refuses a program that needs a loader, which an image without
// anything else does not have.
func checkStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("reading the program %s: %w", program, err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("making an image of %s: it is linked dynamically and would not start in a container: build it with `make build` (CGO_ENABLED=0)", program)
	}
	return nil
}

// ownFiles are the files of the image in their order.
func ownFiles(program string) ([]entry, error) {
	files := []entry{
		{name: "regctl", mode: 0o755, path: program},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0::/:/\nregctl:x:101:101::/:/\n")},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nregctl:x:101:\n")},
	}
	cas, err := os.ReadFile(hostCAs)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	return append(files, entry{name: hostCAs[1:], mode: 0o644, content: cas}), err
}

// entry is a file of a layer: content, or what is at path on the host.
type entry struct {
	name    string
	mode    int64
	content []byte
	path    string
}

func (f entry) open() (io.ReadCloser, int64, error) {
	if f.path == "" {
		return io.NopCloser(bytes.NewReader(f.content)), int64(len(f.content)), nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// layer is a tar file that is made anew each time it is read. It implements
// [v1.Layer] uncompressed, because the engine is on this host.
type layer struct {
	files  []entry
	digest v1.Hash
	size   int64
}

func newLayer(files []entry) (*layer, error) {
	l := &layer{files: files}
	sum := &sizedHash{Hash: sha256.New()}
	if err := l.write(sum); err != nil {
		return nil, err
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	l.size = sum.size
	return l, nil
}

type sizedHash struct {
	hash.Hash
	size int64
}

func (s *sizedHash) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	return s.Hash.Write(p)
}

// write writes the tar file. Times and owners are fixed: they say when and
// where the image was made, and would make another one each time.
func (l *layer) write(w io.Writer) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	for _, f := range l.files {
		if err := writeParents(t, made, filepath.Dir(f.name)); err != nil {
			return err
		}
		if err := writeEntry(t, f); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeParents(t *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	made[dir] = true
	if err := writeParents(t, made, filepath.Dir(dir)); err != nil {
		return err
	}
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
}

func writeEntry(t *tar.Writer, f entry) error {
	content, size, err := f.open()
	if err != nil {
		return err
	}
	defer content.Close()
	header := tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: size, ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(&header); err != nil {
		return err
	}
	_, err = io.Copy(t, content)
	return err
}

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) Size() (int64, error)                { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)  { return l.Uncompressed() }
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.write(w)) }()
	return r, nil
}

// loaded reports whether the engine has the image, under its name.
func (i *ownImage) loaded(ctx context.Context, e *Engine) (bool, error) {
	got, err := e.api.ImageInspect(ctx, i.tag.String())
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Not the id: engines with containerd's image store call the manifest's
	// digest the id.
	return slices.Equal(got.RootFS.Layers, []string{i.layer.digest.String()}), nil
}

// load hands the image to the engine.
func (i *ownImage) load(ctx context.Context, e *Engine) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(tarball.Write(i.tag, i.Image, w)) }()
	defer r.Close() // ends the writer if the engine does not read to the end
	answer, err := e.api.ImageLoad(ctx, r)
	if err != nil {
		return fmt.Errorf("loading image %s: %w", i.tag, err)
	}
	defer answer.Body.Close()
	if err := readProgress(answer.Body, func(message) {}); err != nil {
		return fmt.Errorf("loading image %s: %w", i.tag, err)
	}
	return nil
}

// ownImages are the ids of our own images that a project's containers were
// made of: containers have the labels of their image.
func ownImages(there []container.Summary) map[string]bool {
	ids := map[string]bool{}
	for _, c := range there {
		if _, own := c.Labels[ownLabel]; own {
			ids[c.ImageID] = true
		}
	}
	return ids
}

// removeImages removes images, except those that a container uses, running or
// not, in whatever project.
func (e *Engine) removeImages(ctx context.Context, images ...string) error {
	for _, img := range images {
		_, err := e.api.ImageRemove(ctx, img, image.RemoveOptions{PruneChildren: true})
		if err != nil && !cerrdefs.IsConflict(err) && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("removing image %s: %w", img, err)
		}
	}
	return nil
}
