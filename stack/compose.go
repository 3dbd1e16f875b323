package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"

	"regctl/provision/host"
	"regctl/provision/step"
)

// HealthLimit is how long the services may take to become healthy.
const HealthLimit = 3 * time.Minute

// Stack is the step that brings the containers up.
type Stack struct {
	engine  *Engine
	project Project
	text    func(host.Looker) ([]byte, error)
}

// NewStack makes the step. Text is what compose.yaml holds, or will hold once
// an earlier step has written it; an error that wraps [fs.ErrNotExist] means
// that it cannot be told yet.
func NewStack(e *Engine, p Project, text func(host.Looker) ([]byte, error)) *Stack {
	return &Stack{e, p, text}
}

// Name implements [step.Step].
func (*Stack) Name() string { return "stack" }

// Check implements [step.Step].
func (s *Stack) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	text, err := s.text(l)
	if errors.Is(err, fs.ErrNotExist) {
		return step.Create.Because("no file %s", s.project.File), nil
	}
	if err != nil {
		return step.Change{}, err
	}
	project, err := s.project.load(ctx, text)
	if err != nil {
		return step.Change{}, err
	}
	if err := s.engine.Ping(ctx); errors.Is(err, ErrNoEngine) {
		return noEngineYet(), nil
	} else if err != nil {
		return step.Change{}, err
	}
	return s.engine.compare(ctx, s.project, project)
}

// Apply implements [step.Step].
func (s *Stack) Apply(ctx context.Context, m host.Machine) error {
	text, err := s.text(m.Looker())
	if err != nil {
		return err
	}
	return s.replacing(ctx, func() error { return s.engine.Up(ctx, s.project, text) })
}

// Undo implements [step.Undoer].
func (s *Stack) Undo(ctx context.Context, _ host.Machine) error {
	err := s.replacing(ctx, func() error { return s.engine.Down(ctx, s.project) })
	if errors.Is(err, ErrNoEngine) {
		return nil // and the containers are gone with it
	}
	return err
}

// replacing changes containers, and removes images of ours that they were made
// of and are no more. Images of other projects are not touched, nor one that
// was loaded for containers that are yet to be made.
func (s *Stack) replacing(ctx context.Context, change func() error) error {
	if err := s.engine.Ping(ctx); err != nil {
		return err
	}
	before, err := s.engine.containers(ctx, s.project)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := s.engine.containers(ctx, s.project)
	if err != nil {
		return err
	}
	old := ownImages(before)
	maps.DeleteFunc(old, func(id string, _ bool) bool { return ownImages(after)[id] })
	return s.engine.removeImages(ctx, slices.Collect(maps.Keys(old))...)
}

// Up makes and starts the containers of a compose.yaml with this text, and
// waits until they are healthy, at most [HealthLimit]. Containers that are as
// they shall be are left alone; those of services that are gone are removed.
func (e *Engine) Up(ctx context.Context, p Project, text []byte) error {
	project, err := p.load(ctx, text)
	if err != nil {
		return err
	}
	if err := e.Ping(ctx); err != nil {
		return err
	}
	if err := e.imagesThere(ctx, project); err != nil {
		return err
	}
	if err := e.restartUnhealthy(ctx, p); err != nil {
		return err
	}
	sdk, err := e.sdk(ctx)
	if err != nil {
		return err
	}
	err = sdk.Up(ctx, project, api.UpOptions{
		Create: api.CreateOptions{
			Recreate: api.RecreateDiverged, RecreateDependencies: api.RecreateDiverged,
			RemoveOrphans: true, QuietPull: true,
		},
		Start: api.StartOptions{Project: project, WaitTimeout: HealthLimit},
	})
	if err == nil {
		err = e.WaitHealthy(ctx, p, HealthLimit)
	} else {
		err = e.explain(ctx, p, err)
	}
	if err != nil {
		return fmt.Errorf("starting the containers of %s: %w", p.Name, err)
	}
	return nil
}

// imagesThere refuses to start with half of the images: the engine would find
// out service by service.
func (e *Engine) imagesThere(ctx context.Context, project *types.Project) error {
	for _, name := range project.ServiceNames() {
		image := project.Services[name].Image
		id, _, err := e.imageOf(ctx, image)
		if err != nil {
			return err
		}
		if id == "" {
			return fmt.Errorf("image %s of service %s is not on this host: regctl apply pulls or loads it", image, name)
		}
	}
	return nil
}

// restartUnhealthy restarts what runs and does not work: compose starts only
// what has stopped.
func (e *Engine) restartUnhealthy(ctx context.Context, p Project) error {
	all, err := e.Health(ctx, p)
	if err != nil {
		return err
	}
	var sick []string
	for _, s := range all {
		if s.Health == Unhealthy {
			sick = append(sick, s.Service)
		}
	}
	if sick == nil {
		return nil
	}
	return e.restart(ctx, p, sick)
}

// Down removes the containers and networks of a project. Its data stays: it is
// in directories. Nothing there is fine.
func (e *Engine) Down(ctx context.Context, p Project) error {
	return e.operate(ctx, p, "removing", func(sdk api.Compose) error {
		return sdk.Down(ctx, p.Name, api.DownOptions{RemoveOrphans: true})
	})
}

// Start starts the containers that there are, in the order of their dependence.
func (e *Engine) Start(ctx context.Context, p Project) error {
	return e.operate(ctx, p, "starting", func(sdk api.Compose) error {
		return sdk.Start(ctx, p.Name, api.StartOptions{WaitTimeout: HealthLimit})
	})
}

// Stop stops the containers and leaves them there.
func (e *Engine) Stop(ctx context.Context, p Project) error {
	return e.operate(ctx, p, "stopping", func(sdk api.Compose) error {
		return sdk.Stop(ctx, p.Name, api.StopOptions{})
	})
}

// Restart restarts the named services, or all, and waits until everything is
// healthy.
func (e *Engine) Restart(ctx context.Context, p Project, services ...string) error {
	if err := e.known(ctx, p, services); err != nil {
		return err
	}
	if err := e.restart(ctx, p, services); err != nil {
		return err
	}
	return e.WaitHealthy(ctx, p, HealthLimit)
}

func (e *Engine) restart(ctx context.Context, p Project, services []string) error {
	return e.operate(ctx, p, "restarting", func(sdk api.Compose) error {
		return sdk.Restart(ctx, p.Name, api.RestartOptions{Services: services, NoDeps: true})
	})
}

// operate does something to the containers of a project that is ours.
func (e *Engine) operate(ctx context.Context, p Project, doing string, call func(api.Compose) error) error {
	if err := e.Ping(ctx); err != nil {
		return err
	}
	if _, err := e.containers(ctx, p); err != nil {
		return err
	}
	sdk, err := e.sdk(ctx)
	if err != nil {
		return err
	}
	if err := call(sdk); err != nil {
		return fmt.Errorf("%s the containers of %s: %w", doing, p.Name, err)
	}
	return nil
}

// known refuses services that have no container: the SDK passes over them.
func (e *Engine) known(ctx context.Context, p Project, services []string) error {
	if err := e.Ping(ctx); err != nil {
		return err
	}
	list, err := e.containers(ctx, p)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Labels[api.ServiceLabel])
	}
	if len(names) == 0 {
		return fmt.Errorf("project %s has no containers: regctl up makes them", p.Name)
	}
	for _, s := range services {
		if !slices.Contains(names, s) {
			slices.Sort(names)
			return fmt.Errorf("no service %q; there are: %s", s, strings.Join(names, ", "))
		}
	}
	return nil
}
