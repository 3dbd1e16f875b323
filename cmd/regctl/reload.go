package main

import (
	"context"

	"regctl/certs"
	"regctl/provision"
	"regctl/provision/host"
)

// reloadEdge makes the function that has the running edge of an installation
// read its files again.
func (e *env) reloadEdge(c provision.Config, paths provision.Paths) certs.Reload {
	return func(ctx context.Context, m host.Machine) error {
		ground, err := e.ground(ctx)
		if err != nil {
			return err
		}
		return provision.New(paths.Dir, c, ground).ReloadEdge(ctx, m)
	}
}
