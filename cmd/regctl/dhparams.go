package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"regctl/certs"
	"regctl/provision"
	"regctl/provision/host"
	"regctl/provision/step"
)

type dhparamsOptions struct {
	dir     string
	bits    int // 0: as regctl.yaml says
	restart bool
}

// newDHParamsCmd makes the command that replaces the host's own Diffie-Hellman
// group; reload has the running edge load it.
func newDHParamsCmd(e *env, reload func(provision.Config, provision.Paths) certs.Reload) *cobra.Command {
	var o dhparamsOptions
	cmd := &cobra.Command{
		Use:   "dhparams",
		Short: "make this host's own Diffie-Hellman group anew",
		Long: `Search a new Diffie-Hellman group that only this host has, and have the edge load
it. The old one serves until then. The search runs on all cores, for a minute or
two at 4096 bits on two cores; how long is a matter of luck. Interrupted with
Ctrl-C, it goes on where it was the next time.`,
		Example: `  regctl dhparams --dir ./registry
  regctl dhparams --dir ./registry --bits 3072 --restart`,
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage, codeLocked),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, paths, err := readInstallation(o.dir)
			if err != nil {
				return err
			}
			bits, err := o.size(config, paths)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), e, paths, bits, reload(config, paths))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", defaultDir, "directory of the installation")
	flags.IntVar(&o.bits, "bits", 0, "size of the group: 2048, 3072 or 4096 (default as tls.dhparams in regctl.yaml says, else 4096)")
	flags.BoolVar(&o.restart, "restart", false, "do not go on with an interrupted search")
	must(cmd.MarkFlagDirname("dir"))
	must(cmd.RegisterFlagCompletionFunc("bits", cobra.FixedCompletions([]string{"2048", "3072", "4096"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// size is the number of bits to search. A group that the next apply would
// replace is not worth minutes.
func (o *dhparamsOptions) size(config provision.Config, paths provision.Paths) (int, error) {
	mode, err := certs.ParseDHMode(config.TLS.DHParams)
	if err != nil {
		return 0, usageError("", "%s: tls.dhparams: %v", paths.Config(), err)
	}
	if !mode.Own {
		return 0, usageError("set it to own there, then: regctl apply --dir "+o.dir,
			"%s: tls.dhparams is %s: no own group is wanted", paths.Config(), config.TLS.DHParams)
	}
	if o.bits == 0 {
		return mode.Size(), nil
	}
	if err := certs.CheckDHBits(o.bits); err != nil {
		return 0, flagError("bits", err)
	}
	if mode.Bits != 0 && mode.Bits != o.bits {
		return 0, usageError(fmt.Sprintf("set it to own:%d there, or leave --bits out", o.bits),
			"--bits %d: tls.dhparams in %s is %s", o.bits, paths.Config(), config.TLS.DHParams)
	}
	return o.bits, nil
}

func (o *dhparamsOptions) run(ctx context.Context, e *env, paths provision.Paths, bits int, reload certs.Reload) error {
	lock, err := provision.AcquireLock(paths.Dir, "dhparams", e.now())
	if err != nil {
		return err
	}
	defer lock.Release()
	m := host.Local{}
	if o.restart {
		if _, err := m.Remove(paths.DHState()); err != nil {
			return err
		}
	}
	line := newLiveLine(e)
	err = certs.RenewDH(step.WithProgress(ctx, line.show), m, paths.DHParams(), paths.DHState(), bits, reload)
	line.end()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return &failure{codeInterrupted, "interrupted", "go on with the search: regctl dhparams --dir " + o.dir}
	}
	if err != nil {
		return err
	}
	e.note("own %d-bit group in %s: loaded", bits, paths.DHParams())
	return nil
}
