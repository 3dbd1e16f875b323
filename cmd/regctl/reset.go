package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"regctl/provision"
)

type resetOptions struct {
	dir        string
	yes, purge bool
}

func newResetCmd(e *env) *cobra.Command {
	var o resetOptions
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "take back what init did to this host",
		Long: `Take back what init and apply did to this host: containers, units and
configuration go. Images, users, keys and certificates stay, and are listed,
unless --purge is given. What was there before regctl is not touched.`,
		Example: `  regctl reset --dir /srv/regctl
  regctl reset --dir /srv/regctl --yes --purge`,
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, codeLocked),
		RunE:        func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), e) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	flags.BoolVar(&o.purge, "purge", false, "also remove images, users, keys and certificates")
	addDirFlag(cmd, &o.dir)
	return cmd
}

func (o *resetOptions) run(ctx context.Context, e *env) error {
	in, err := e.installation(ctx, o.dir)
	if err != nil {
		return err
	}
	journal, err := provision.OpenJournal(e.machine.Looker(), in.Journal())
	if err != nil {
		return err
	}
	kept, err := in.Kept(e.machine.Looker())
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: taking back\n", in.Title())
	for _, name := range journal.Steps() {
		fmt.Fprintf(e.stdout, "  %s\n", name)
	}
	if o.purge {
		printParts(e, "removing for good", kept)
	}
	if !o.yes {
		if err := e.confirm(ctx, "Do this now?", "yes"); err != nil {
			return err
		}
	}
	lock, err := provision.AcquireLock(in.Dir, "reset", e.now())
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := in.Reset(ctx, e.machine, journal, func(name string) { fmt.Fprintf(e.stdout, "undoing %s\n", name) }); err != nil {
		return err
	}
	if o.purge {
		return in.Purge(e.machine)
	}
	if kept, err = in.Kept(e.machine.Looker()); err != nil {
		return err
	}
	printParts(e, "left, and used again by regctl init --dir "+shellQuote(in.Dir)+"; reset --purge removes it", kept)
	return nil
}

func printParts(e *env, title string, parts []provision.Part) {
	fmt.Fprintf(e.stdout, "%s:\n", title)
	for _, p := range parts {
		fmt.Fprintf(e.stdout, "  %s: %s\n", p.Path, p.What)
	}
}
