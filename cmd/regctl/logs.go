package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"regctl/stack"
)

func newLogsCmd(e *env) *cobra.Command {
	var c containers
	var o stack.LogOptions
	cmd := &cobra.Command{
		Use:         "logs [SERVICE...]",
		Short:       "show what the containers of an installation have printed",
		Example:     "  regctl logs --follow --tail 20 nginx",
		Annotations: exits(codeDone, codeFailed, codeUsage),
		PreRunE: func(*cobra.Command, []string) error {
			if n, err := strconv.Atoi(o.Tail); o.Tail != "all" && (err != nil || n < 0) {
				return usageError("", "--tail: want a number of lines or all, not %q", o.Tail)
			}
			return nil
		},
		RunE: c.call(e, func(ctx context.Context, engine *stack.Engine, p stack.Project, services []string) error {
			o.Services = services
			return engine.Logs(ctx, p, o, func(service, text string) {
				fmt.Fprintf(e.stdout, "%s | %s\n", service, visible(text))
			})
		}),
	}
	c.addFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&o.Follow, "follow", "f", false, "go on with what is printed from now on")
	flags.StringVar(&o.Tail, "tail", "100", "this many `LINES` of each container at most, or all")
	flags.StringVar(&o.Since, "since", "", "only what is newer than this `TIME` (2027-01-31T12:00:00Z) or duration (10m)")
	return cmd
}
