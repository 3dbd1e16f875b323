package main

import (
	"context"

	"github.com/spf13/cobra"

	"regctl/stack"
)

func newRestartCmd(e *env) *cobra.Command {
	var c containers
	cmd := &cobra.Command{
		Use:         "restart [SERVICE...]",
		Short:       "restart containers of an installation",
		Long:        "Restart the containers of these services, or all of them, and wait until they are healthy.",
		Example:     "  regctl restart registry",
		Annotations: exits(codeDone, codeFailed, codeUsage, codeLocked),
		RunE: c.change(e, "restart", func(ctx context.Context, engine *stack.Engine, p stack.Project, services []string) error {
			return engine.Restart(ctx, p, services...)
		}),
	}
	c.addFlags(cmd)
	return cmd
}
