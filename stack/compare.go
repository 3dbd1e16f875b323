package stack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"regctl/provision/step"
)

// compare says what Up would do. It goes by the labels that the SDK itself
// goes by: the hash of a service's configuration and the image's id.
func (e *Engine) compare(ctx context.Context, p Project, project *types.Project) (step.Change, error) {
	there, err := e.containers(ctx, p)
	if err != nil {
		return step.Change{}, err
	}
	if len(there) == 0 {
		return step.Create.Because("no containers yet: %s", strings.Join(project.ServiceNames(), ", ")), nil
	}
	byService := map[string][]container.Summary{}
	for _, c := range there {
		name := c.Labels[api.ServiceLabel]
		byService[name] = append(byService[name], c)
	}
	causes, err := e.compareNetworks(ctx, p, project)
	if err != nil {
		return step.Change{}, err
	}
	for _, name := range project.ServiceNames() {
		cause, err := e.compareService(ctx, project.Services[name], byService[name])
		if err != nil {
			return step.Change{}, err
		}
		if cause != "" {
			causes = append(causes, cause)
		}
		delete(byService, name)
	}
	for _, name := range slices.Sorted(maps.Keys(byService)) {
		causes = append(causes, name+" is no longer wanted")
	}
	if len(causes) > 0 {
		return step.Update.Because("%s", strings.Join(causes, "; ")), nil
	}
	return step.Keep.Because("running and healthy: %s", strings.Join(project.ServiceNames(), ", ")), nil
}

// compareService says why a service's containers are not what they shall be.
func (e *Engine) compareService(ctx context.Context, want types.ServiceConfig, there []container.Summary) (cause string, err error) {
	switch len(there) {
	case 0:
		return want.Name + " has no container", nil
	case 1:
	default:
		return fmt.Sprintf("%s has %d containers", want.Name, len(there)), nil
	}
	c := there[0]
	hash, err := compose.ServiceHash(want)
	if err != nil {
		return "", err
	}
	if c.Labels[api.ConfigHashLabel] != hash {
		return want.Name + ": configuration changed", nil
	}
	id, _, err := e.imageOf(ctx, want.Image)
	if err != nil {
		return "", err
	}
	if id != "" && c.Labels[api.ImageDigestLabel] != id {
		return want.Name + ": image changed", nil
	}
	health, err := e.healthOf(ctx, c.ID)
	if err != nil || health.OK() {
		return "", err
	}
	return health.String(), nil
}

// compareNetworks says which networks are missing or other than wanted.
func (e *Engine) compareNetworks(ctx context.Context, p Project, project *types.Project) (causes []string, err error) {
	list, err := e.api.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("label", api.ProjectLabel+"="+p.Name))})
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	for _, n := range list {
		hashes[n.Labels[api.NetworkLabel]] = n.Labels[api.ConfigHashLabel]
	}
	for _, key := range project.NetworkNames() {
		want := project.Networks[key]
		hash, err := compose.NetworkHash(&want)
		if err != nil {
			return nil, err
		}
		switch got, ok := hashes[key]; {
		case bool(want.External):
		case !ok:
			causes = append(causes, "no network "+want.Name)
		case got != hash:
			causes = append(causes, "network "+want.Name+": configuration changed")
		}
	}
	return causes, nil
}
