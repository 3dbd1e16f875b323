package stack

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"regctl/provision/host"
	"regctl/provision/step"
)

const installedMode fs.FileMode = 0o755

// OwnImage is the step that makes the running program the one of the
// installation: as an image that the engine has, and as a file for health
// checks in foreign containers and for systemd.
type OwnImage struct {
	engine             *Engine
	program, installed string
	assemble           func() (*ownImage, error)
}

// NewOwnImage makes the step. Program is the executable that runs (see
// [os.Executable]), installed where its copy shall be, version regctl's.
func NewOwnImage(e *Engine, program, installed, version string) *OwnImage {
	return &OwnImage{e, program, installed, sync.OnceValues(func() (*ownImage, error) { return assemble(program, version) })}
}

// Name implements [step.Step].
func (*OwnImage) Name() string { return "own-image" }

// Reference is the image's name, "regctl:" and twelve digits of its digest. It
// reads the program and needs no engine.
func (s *OwnImage) Reference() (string, error) {
	img, err := s.assemble()
	if err != nil {
		return "", err
	}
	return img.tag.String(), nil
}

// Check implements [step.Step].
func (s *OwnImage) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	img, err := s.assemble()
	if err != nil {
		return step.Change{}, err
	}
	if err := s.engine.Ping(ctx); errors.Is(err, ErrNoEngine) {
		return noEngineYet(), nil
	} else if err != nil {
		return step.Change{}, err
	}
	loaded, err := img.loaded(ctx, s.engine)
	if err != nil {
		return step.Change{}, err
	}
	if !loaded {
		return step.Create.Because("no image %s of this regctl", img.tag), nil
	}
	return s.checkCopy(l, img.tag.String())
}

func (s *OwnImage) checkCopy(l host.Looker, tag string) (step.Change, error) {
	info, err := l.Stat(s.installed)
	if errors.Is(err, fs.ErrNotExist) {
		return step.Create.Because("no file %s", s.installed), nil
	}
	if err != nil {
		return step.Change{}, err
	}
	running, err := l.Digest(s.program)
	if err != nil {
		return step.Change{}, err
	}
	copied, err := l.Digest(s.installed)
	switch {
	case err != nil:
		return step.Change{}, err
	case copied != running:
		return step.Update.Because("%s is another regctl than this one", s.installed), nil
	case info.Mode != installedMode || info.Owner != (host.Owner{}):
		return step.Update.Because("mode or owner of %s is not that of a program", s.installed), nil
	}
	return step.Keep.Because("image %s and %s are this regctl", tag, s.installed), nil
}

// Apply implements [step.Step].
func (s *OwnImage) Apply(ctx context.Context, m host.Machine) error {
	img, err := s.assemble()
	if err != nil {
		return err
	}
	if _, err := m.Mkdir(filepath.Dir(s.installed), 0o755, host.Owner{}); err != nil {
		return err
	}
	if _, err := m.CopyFile(s.program, s.installed, installedMode, host.Owner{}); err != nil {
		return err
	}
	if loaded, err := img.loaded(ctx, s.engine); err != nil || loaded {
		return err
	}
	step.Report(ctx, step.Progress{Text: "loading image " + img.tag.String()})
	return img.load(ctx, s.engine)
}

// Undo implements [step.Undoer]. Images of other versions went when the
// containers made of them did; see [Stack].
func (s *OwnImage) Undo(ctx context.Context, m host.Machine) error {
	if _, err := m.Remove(s.installed); err != nil {
		return err
	}
	ref, err := s.Reference()
	if err != nil {
		return err
	}
	if err := s.engine.Ping(ctx); errors.Is(err, ErrNoEngine) {
		return nil // and the images are gone with it
	}
	return s.engine.removeImages(ctx, ref)
}

// noEngineYet is what steps say on a host whose engine another step installs.
func noEngineYet() step.Change { return step.Create.Because("no Docker engine yet") }
