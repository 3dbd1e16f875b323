package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Project is a compose project: the containers of one installation.
type Project struct {
	Name string // "regctl"; unique on an engine
	Dir  string // of the installation, absolute
	File string // path of compose.yaml
}

// load reads the text of a compose.yaml. Nothing in it comes from the
// environment, so that it means the same in systemd and in a shell; a $ that
// is meant is written $$, as Docker's own command wants it.
func (p Project) load(ctx context.Context, text []byte) (*types.Project, error) {
	variables := map[string]bool{}
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  p.Dir,
		ConfigFiles: []types.ConfigFile{{Filename: p.File, Content: text}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) {
		o.SetProjectName(p.Name, true)
		o.Interpolate.LookupValue = func(name string) (string, bool) {
			variables[name] = true
			return "", true
		}
	})
	if len(variables) > 0 { // first: an empty value may be what err is about
		names := slices.Sorted(maps.Keys(variables))
		err = fmt.Errorf("it uses variables of the environment (%s): write the values, and $$ for a dollar sign", strings.Join(names, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.File, err)
	}
	for name, s := range project.Services {
		s.CustomLabels = types.Labels{ // as the docker command does
			api.ProjectLabel:     project.Name,
			api.ServiceLabel:     name,
			api.VersionLabel:     api.ComposeVersion,
			api.WorkingDirLabel:  project.WorkingDir,
			api.ConfigFilesLabel: p.File,
			api.OneoffLabel:      "False",
		}
		// Pulling is the work of the step "images", which pins what it pulls.
		s.PullPolicy = types.PullPolicyNever
		project.Services[name] = s
	}
	return project.WithoutUnnecessaryResources(), nil
}

// containers lists all containers of the project, running or not, and those
// of `docker compose run` neither.
func (e *Engine) containers(ctx context.Context, p Project) ([]container.Summary, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", api.ProjectLabel+"="+p.Name),
		filters.Arg("label", api.OneoffLabel+"=False"),
	)})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of project %s: %w", p.Name, err)
	}
	for _, c := range list {
		if dir := c.Labels[api.WorkingDirLabel]; dir != p.Dir {
			return nil, &ForeignError{p.Name, dir}
		}
	}
	return list, nil
}

// ForeignError is a project name that another directory uses.
type ForeignError struct{ Name, Dir string }

// Error implements error.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("containers named %s belong to %s", e.Name, e.Dir)
}

// Hint says what to do.
func (e *ForeignError) Hint() string {
	return fmt.Sprintf("give this installation another name (name: in regctl.yaml), or remove the other one: docker compose -p %s down", e.Name)
}

// serviceContainer finds the container of a service.
func (e *Engine) serviceContainer(ctx context.Context, p Project, service string) (container.Summary, error) {
	list, err := e.containers(ctx, p)
	if err != nil {
		return container.Summary{}, err
	}
	for _, c := range list {
		if c.Labels[api.ServiceLabel] == service {
			return c, nil
		}
	}
	return container.Summary{}, fmt.Errorf("service %s of project %s: %w", service, p.Name, errNoContainer)
}

var errNoContainer = errors.New("has no container")
