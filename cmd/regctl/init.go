package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"regctl/provision"
)

// initOptions are the flags of regctl init beside the settings.
type initOptions struct {
	convergeOptions
	questions *questions
}

func newInitCmd(e *env) *cobra.Command {
	o := initOptions{questions: newQuestions(nil)}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "set up this host: a registry, proven by a push",
		Long: `Set up a Docker registry with accounts of its own on this host. On a terminal
init asks what it has to know; elsewhere flags or --config say it. It checks the
host, shows what it would do, asks once, does it, and proves the result with a
real login, push, pull and denied push.

It can be repeated: what is as it shall be is left alone, and settings that no
flag mentions keep their value.`,
		Example: `  regctl init
  regctl init --host registry.example.com --email you@example.com --tls local --yes
  regctl init --config regctl.yaml --yes`,
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, "3 changes are pending (--dry-run)", "4 a preflight check or the verification fails", codeLocked),
		RunE:        func(cmd *cobra.Command, _ []string) error { return o.run(cmd, e) },
	}
	o.addFlags(cmd)
	o.addChangeFlags(cmd)
	o.questions.addFlags(cmd)
	return cmd
}

func (o *initOptions) run(cmd *cobra.Command, e *env) error {
	ctx, q := cmd.Context(), o.questions
	q.look = e.machine.Looker()
	asking := e.canAsk() && !o.yes
	base, err := q.base()
	if err != nil {
		return err
	}
	c, err := q.config(cmd, base, asking)
	if err == nil && asking {
		err = q.ask(ctx, e, cmd, &c)
	}
	if err != nil {
		return err
	}
	ground, err := e.ground(ctx)
	if err != nil {
		return err
	}
	in := provision.New(q.dir, c, ground)
	fmt.Fprintln(e.stdout, in.Title())
	if asking {
		fmt.Fprintln(e.stdout, "the same without questions: "+q.command(c))
	}
	if q.saved != nil {
		for _, line := range configDiff(*q.saved, c) {
			fmt.Fprintln(e.stdout, "  "+line)
		}
	}
	for _, p := range c.Caveats() {
		fmt.Fprintln(e.stdout, "note: "+p.String())
	}
	if err := o.converge(ctx, e, in, "regctl apply --dir "+shellQuote(q.dir)+" --yes"); err != nil {
		return err
	}
	return o.nextSteps(e, in)
}

// nextSteps is the last screen.
func (o *initOptions) nextSteps(e *env, in *provision.Installation) error {
	if o.dryRun {
		return nil
	}
	dir := ""
	if in.Dir != defaultDir {
		dir = " --dir " + shellQuote(in.Dir)
	}
	registry := in.Config.Host
	if port := in.Config.Edge.HTTPSPort; port != 443 {
		registry += fmt.Sprintf(":%d", port)
	}
	fmt.Fprintln(e.stdout, "\nnext:")
	if in.Config.TLS.Mode == "local" {
		fmt.Fprintf(e.stdout, "  regctl ca%s  # clients have to trust this CA; it says how\n", dir)
	}
	password := in.Config.Admin.PasswordFile
	if password == "" {
		password = in.AdminPassword()
	}
	fmt.Fprintf(e.stdout, "  docker login %s -u %s --password-stdin < %s\n", registry, in.Config.Admin.Name, shellQuote(password))
	fmt.Fprintf(e.stdout, "  regctl user add NAME --generate --label 'full-access=NAME/*'%s\n", dir)
	_, err := fmt.Fprintf(e.stdout, "  regctl status%s\n", dir)
	return err
}
