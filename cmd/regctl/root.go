package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

// run runs regctl with the given arguments and returns its exit code.
func run(ctx context.Context, args []string, e *env) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var known *failure
	if ctx.Err() != nil && err != nil && !errors.As(err, &known) {
		err = context.Canceled
	}
	return e.report(err)
}

func newRoot(e *env) *cobra.Command {
	root := group("regctl", "a private Docker registry with its own users, rules and tokens",
		newInitCmd(e),
		newPreflightCmd(e),
		newPlanCmd(e),
		newApplyCmd(e),
		newResetCmd(e),
		newRenderCmd(e),
		newServeCmd(e),
		newPreflightCmd(e),
		newStatusCmd(e),
		newUpCmd(e),
		newDownCmd(e),
		newRestartCmd(e),
		newLogsCmd(e),
		newVerifyCmd(e),
		newUserCmd(e),
		newACLCmd(e),
		newTokenCmd(e),
		newAuditCmd(e),
		newAuthCmd(e),
		newEdgeCmd(e),
		newRegistryCmd(e),
		newHealthcheckCmd(),
		newCACmd(e),
		newDHParamsCmd(e, e.reloadEdge),
		newConfigCmd(e),
		newVersionCmd(e),
		newCompletionCmd(e),
		newStepsTopic(),
	)
	root.Version = auth.Version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(seeHelp(cmd), "%v", err) })
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Short = "show the help of a command"
			cmd.Annotations = exits(codeDone)
			cmd.Example = "  regctl help user add"
		}
	}
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		printExits(cmd.OutOrStdout(), cmd)
	})
	return root
}

// group makes a command that only has subcommands.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := seeHelp(cmd)
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean: " + cmd.CommandPath() + " " + strings.Join(near, ", ")
			}
			return usageError(hint, "unknown command %q for %q", args[0], cmd.CommandPath())
		},
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Annotations: exits(codeDone, codeUsage),
		// cobra's default, which its own check of arguments would have set.
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(commands...)
	return cmd
}

func seeHelp(cmd *cobra.Command) string { return "see " + cmd.CommandPath() + " --help" }

// wantArgs accepts exactly the named arguments, which must not be empty unless
// an empty one means something to the command.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "usage: " + cmd.UseLine()
		if len(args) < len(names) {
			return usageError(hint, "missing argument: %s", strings.Join(names[len(args):], " "))
		}
		if len(args) > len(names) {
			return usageError(hint, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// missing is the error of a command that lacks flags; it names all of them.
func missing(cmd *cobra.Command, flags ...string) error {
	return usageError(seeHelp(cmd), "missing %s", strings.Join(flags, " and "))
}

// flagError names the flag that an error is about.
func flagError(name string, err error) error { return usageError("", "--%s: %v", name, err) }

// plural is "1 token", "2 tokens".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
