package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"regctl/stack"
)

func newUpCmd(e *env) *cobra.Command {
	var c containers
	cmd := &cobra.Command{
		Use:   "up",
		Short: "start the containers of an installation",
		Long: "Start the containers as compose.yaml describes them, and wait until they are healthy. No file is changed:\n" +
			"that is what regctl apply does. systemd calls this command when the host has started.",
		Example:     "  regctl up --dir /srv/regctl",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, codeLocked),
		RunE: c.change(e, "up", func(ctx context.Context, engine *stack.Engine, p stack.Project, _ []string) error {
			text, err := os.ReadFile(p.File)
			if errors.Is(err, fs.ErrNotExist) {
				return usageError("write it: regctl apply --dir "+c.dir, "there is no file %s", p.File)
			}
			if err != nil {
				return err
			}
			return engine.Up(ctx, p, text)
		}),
	}
	c.addFlags(cmd)
	return cmd
}
