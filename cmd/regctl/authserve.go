package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newAuthCmd(e *env) *cobra.Command {
	return group("auth", "the auth server alone", newAuthServeCmd(e))
}

// newAuthServeCmd takes the place of docker_auth's program, so it parses flags
// as that does: with the standard library, where -v=2 and --v=2 are the same,
// which cobra cannot.
func newAuthServeCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "serve [flags] CONFIG",
		Short: "run the auth server with a docker_auth configuration file",
		Long: `Run the auth server with a configuration file of docker_auth (auth_config.yml).
The file is read again when it changes, and on SIGHUP; a bad one is reported and
the old one stays in force.

Flags:
  --compat   accept, with a warning, what docker_auth accepts although it opens
             the registry: blank passwords, null names, unknown conditions
  --v N      2 and above: log details
docker_auth's other logging flags (logtostderr, alsologtostderr, stderrthreshold,
log_dir, logbufsecs, vmodule, log_backtrace_at) are accepted and do nothing: the
log goes to standard error.`,
		Example:            "  regctl auth serve --v=2 --alsologtostderr /config/auth_config.yml",
		DisableFlagParsing: true,
		Annotations:        exits("0 stopped when it was asked to", codeFailed, codeUsage, codeLocked),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := parseAuthServe(args)
			switch {
			case errors.Is(err, flag.ErrHelp):
				return cmd.Help()
			case err != nil:
				return usageError(seeHelp(cmd), "%v", err)
			case o.config == "":
				return usageError(seeHelp(cmd), "Config file not specified")
			}
			return o.run(cmd.Context(), e)
		},
	}
}

type authServeOptions struct {
	config  string
	ignored []string // what follows the configuration file
	compat  bool
	level   slog.Level
}

// parseAuthServe parses the arguments as docker_auth does: flags come first,
// and what follows the configuration file is ignored.
func parseAuthServe(args []string) (*authServeOptions, error) {
	o := &authServeOptions{}
	flags := flag.NewFlagSet("auth serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.compat, "compat", false, "")
	verbosity := flags.Int("v", 0, "")
	for _, name := range []string{"logtostderr", "alsologtostderr"} {
		flags.Bool(name, false, "")
	}
	for _, name := range []string{"stderrthreshold", "log_dir", "vmodule", "log_backtrace_at"} {
		flags.String(name, "", "")
	}
	flags.Int("logbufsecs", 0, "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *verbosity >= 2 {
		o.level = slog.LevelDebug
	}
	if flags.NArg() > 0 {
		o.config, o.ignored = flags.Arg(0), flags.Args()[1:]
	}
	return o, nil
}

func (o *authServeOptions) run(ctx context.Context, e *env) error {
	reload, stop := onHangup(ctx)
	defer stop()
	// With 10,000 users (make bench) memory was 54 to 59 MB in seven runs, and 60 in
	// one with the default. Requests per second differed by less than two runs of
	// the same do.
	debug.SetGCPercent(75)
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: o.level}))
	if len(o.ignored) > 0 {
		log.Warn("ignoring what follows the configuration file: flags come before it", "arguments", strings.Join(o.ignored, " "))
	}
	err := auth.Run(ctx, o.config, auth.RunOptions{
		Load: auth.LoadOptions{Compat: o.compat}, Log: log, Reload: reload,
		Ready: func(addr net.Addr) { log.Info("Serving on " + addr.String()) },
	})
	var config *auth.ConfigError
	if errors.As(err, &config) {
		return usageError("", "Failed to load config: %s", strings.TrimSpace(err.Error()))
	}
	return stopped(ctx, err)
}
