package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"regctl/provision"
)

// convergeOptions are what init, plan and apply have in common.
type convergeOptions struct {
	yes    bool
	dryRun bool
	leave  provision.Selection
	ignore []string // preflight checks
	output format
}

func (o *convergeOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&o.leave.Skip, "skip", nil, "leave this `STEP` out; see regctl help steps")
	flags.StringSliceVar(&o.leave.Only, "only", nil, "leave all but this `STEP` out")
	for _, name := range []string{"skip", "only"} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(provision.StepNames(), cobra.ShellCompDirectiveNoFileComp)))
	}
}

func (o *convergeOptions) addChangeFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only tell what would be done, like regctl plan")
	flags.StringSliceVar(&o.ignore, "ignore-preflight", nil, "go on although this preflight `CHECK` fails")
}

// converge brings the host to what in wants: preflight, plan, confirmation,
// steps. command is what a person would type to go on after a failure.
func (o *convergeOptions) converge(ctx context.Context, e *env, in *provision.Installation, command string) error {
	steps := in.Steps()
	if err := o.leave.Check(steps); err != nil {
		return usageError("see regctl help steps", "%v", err)
	}
	if err := o.preflight(ctx, e, in); err != nil {
		return err
	}
	plan, err := provision.Plan(ctx, e.machine.Looker(), o.leave.Of(steps))
	if plan != nil {
		fmt.Fprintln(e.stdout, "plan:")
		if err := printPlan(e.stdout, plan); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	switch pending := provision.Pending(plan); {
	case pending == 0:
		fmt.Fprintln(e.stdout, "0 changed")
		return nil
	case o.dryRun:
		return quiet(codePending)
	}
	if !o.yes {
		if err := e.confirm(ctx, "Do this now?", "yes"); err != nil {
			return err
		}
	}
	return o.apply(ctx, e, in, command)
}

// preflight prints what the checks of the host have found. One that fails, and is
// not waived, ends the run before anything is changed.
func (o *convergeOptions) preflight(ctx context.Context, e *env, in *provision.Installation) error {
	results, err := provision.RunPreflight(ctx, e.machine.Looker(), in.Preflight(), o.ignore)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return flagError("ignore-preflight", err)
	}
	fmt.Fprintln(e.stdout, "preflight:")
	if err := printPreflight(e.stdout, results); err != nil {
		return err
	}
	if n := provision.PreflightErrors(results); n > 0 {
		return &failure{codeUnhealthy, plural(n, "preflight check") + " failed: nothing was changed", "mend it, or go on in spite of it: --ignore-preflight NAME"}
	}
	return nil
}

// apply runs the steps under the installation's lock.
func (o *convergeOptions) apply(ctx context.Context, e *env, in *provision.Installation, command string) error {
	if err := provision.MakeDir(e.machine, in.Dir); err != nil {
		return err
	}
	lock, err := provision.AcquireLock(in.Dir, "apply", e.now())
	if err != nil {
		return err
	}
	defer lock.Release()
	journal, err := provision.OpenJournal(e.machine, in.Journal())
	if err != nil {
		return err
	}
	steps := in.Steps()
	fmt.Fprintln(e.stdout)
	results, err := provision.Apply(ctx, e.machine, steps, o.leave, journal, e.newStepPrinter())
	fmt.Fprintf(e.stdout, "%d changed\n", provision.CountChanged(results))
	if err == nil {
		return nil
	}
	return unfinished(ctx, err, len(results)-1, len(steps), command)
}

// unfinished is the error of a run that ended early: what is done stays done.
func unfinished(ctx context.Context, err error, done, of int, command string) error {
	f := *toFailure(err)
	if ctx.Err() != nil {
		f.code, f.message = codeInterrupted, "interrupted"
	}
	again := fmt.Sprintf("%d of %d steps are done and stay; go on with: %s", done, of, command)
	if f.hint != "" {
		again = f.hint + "; " + again
	}
	f.hint = again
	return &f
}

// installation reads what the installation in dir is to be.
func (e *env) installation(ctx context.Context, dir string) (*provision.Installation, error) {
	c, paths, err := readInstallation(dir)
	if err != nil {
		return nil, err
	}
	wrong := &refusal{hint: "mend it: " + paths.Config()}
	for _, p := range append(c.Problems(), c.Refused()...) {
		wrong.lines = append(wrong.lines, p.String())
	}
	if wrong.lines != nil {
		return nil, wrong
	}
	ground, err := e.ground(ctx)
	if err != nil {
		return nil, err
	}
	return provision.New(paths.Dir, c, ground), nil
}
