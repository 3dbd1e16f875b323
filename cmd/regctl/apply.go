package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"regctl/provision"
)

func newPlanCmd(e *env) *cobra.Command {
	var o convergeOptions
	var dir string
	cmd := &cobra.Command{
		Use:         "plan",
		Short:       "tell what apply would change, and change nothing",
		Example:     "  regctl plan --dir /srv/regctl --output json",
		Args:        wantArgs(),
		Annotations: exits("0 nothing to do", codeFailed, codeUsage, codePending),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := e.installation(cmd.Context(), dir)
			if err != nil {
				return err
			}
			steps := in.Steps()
			if err := o.leave.Check(steps); err != nil {
				return usageError("see regctl help steps", "%v", err)
			}
			plan, problem := provision.Plan(cmd.Context(), e.machine.Looker(), o.leave.Of(steps))
			if plan == nil {
				return problem
			}
			if err := o.output.print(e.stdout, plan, func(w io.Writer) error { return printPlan(w, plan) }); err != nil {
				return err
			}
			switch {
			case problem != nil:
				return problem
			case provision.Pending(plan) > 0:
				return quiet(codePending)
			}
			return nil
		},
	}
	addDirFlag(cmd, &dir)
	o.addFlags(cmd)
	o.output.addFlag(cmd)
	return cmd
}

func newApplyCmd(e *env) *cobra.Command {
	var o convergeOptions
	var dir string
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "make this host what regctl.yaml says",
		Long: `Make this host what regctl.yaml in the installation's directory says. A step
that finds everything as it shall be does nothing, so apply can be repeated: it
goes on after a failure or an interruption, and it brings back what was changed
by hand.`,
		Example:     "  regctl apply --dir /srv/regctl --yes",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, "3 changes are pending (--dry-run)", "4 a preflight check or the verification fails", codeLocked),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := e.installation(cmd.Context(), dir)
			if err != nil {
				return err
			}
			fmt.Fprintln(e.stdout, in.Title())
			return o.converge(cmd.Context(), e, in, "regctl apply --dir "+shellQuote(in.Dir)+" --yes")
		},
	}
	addDirFlag(cmd, &dir)
	o.addFlags(cmd)
	o.addChangeFlags(cmd)
	return cmd
}
