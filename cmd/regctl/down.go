package main

import (
	"context"

	"github.com/spf13/cobra"

	"regctl/stack"
)

func newDownCmd(e *env) *cobra.Command {
	var c containers
	cmd := &cobra.Command{
		Use:   "down",
		Short: "stop and remove the containers of an installation",
		Long: "Stop the containers and remove them with their networks. Images, accounts, certificates and everything else\n" +
			"stay in the directory; regctl up makes the containers again.",
		Example:     "  regctl down --dir /srv/regctl",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, codeLocked),
		RunE: c.change(e, "down", func(ctx context.Context, engine *stack.Engine, p stack.Project, _ []string) error {
			return engine.Down(ctx, p)
		}),
	}
	c.addFlags(cmd)
	return cmd
}
