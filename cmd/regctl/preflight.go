package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

// preflightOptions are the settings that the host is checked for. Those that
// are given take the place of what regctl.yaml says.
type preflightOptions struct {
	dir                 string
	host, authHost      string
	httpPort, httpsPort int
	tls, store          string
	ignore              []string
	output              format
}

func newPreflightCmd(e *env) *cobra.Command {
	var o preflightOptions
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "check whether this host can have a registry",
		Long: `Check whether this host can have the registry that regctl.yaml in the
directory describes, or the flags. Nothing is changed. init does the same first.`,
		Example:     "  regctl preflight --dir /srv/regctl --host registry.example.com --tls acme",
		Args:        wantArgs(),
		Annotations: exits("0 no check fails", codeFailed, codeUsage, codeUnhealthy),
		RunE:        func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), e) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", defaultDir, "directory of the installation")
	flags.StringVar(&o.host, "host", "", "public `NAME` of the registry")
	flags.StringVar(&o.authHost, "auth-host", "", "own public `NAME` of the token server")
	flags.IntVar(&o.httpPort, "http-port", 0, "`PORT` of plain HTTP (default 80)")
	flags.IntVar(&o.httpsPort, "https-port", 0, "`PORT` of HTTPS (default 443)")
	flags.StringVar(&o.tls, "tls", "", "who issues the certificate: `local|files|acme`")
	flags.StringVar(&o.store, "store", "", "database of users and rules: `sqlite|mongo`")
	flags.StringSliceVar(&o.ignore, "ignore-preflight", nil, "only warn when this `CHECK` fails")
	must(cmd.MarkFlagDirname("dir"))
	o.output.addFlag(cmd)
	return cmd
}

func (o *preflightOptions) run(ctx context.Context, e *env) error {
	if o.tls != "" && !slices.Contains([]string{"local", "files", "acme"}, o.tls) {
		return usageError("", "--tls %q: want local, files or acme", o.tls)
	}
	if o.store != "" && !slices.Contains([]string{"sqlite", "mongo"}, o.store) {
		return usageError("", "--store %q: want sqlite or mongo", o.store)
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	l := e.machine.Looker()
	c, err := o.config(l, dir)
	if err != nil {
		return err
	}
	ground, err := e.ground(ctx)
	if err != nil {
		return err
	}
	results, err := provision.RunPreflight(ctx, l, provision.New(dir, c, ground).Preflight(), o.ignore)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return flagError("ignore-preflight", err)
	}
	if err := o.output.print(e.stdout, results, func(w io.Writer) error { return printPreflight(w, results) }); err != nil {
		return err
	}
	if provision.PreflightErrors(results) > 0 {
		return quiet(codeUnhealthy)
	}
	return nil
}

// config is regctl.yaml in dir, if it is there and can be read, under the flags.
// What is wrong with it is for the check "existing" to say.
func (o *preflightOptions) config(l host.Looker, dir string) (provision.Config, error) {
	var c provision.Config
	f, err := l.ReadFile(provision.Paths{Dir: dir}.Config())
	switch {
	case err == nil:
		if read, err := provision.ParseConfig(f.Content); err == nil {
			c = read
		}
	case !errors.Is(err, fs.ErrNotExist):
		return c, err
	}
	for value, setting := range map[*string]*string{&o.host: &c.Host, &o.authHost: &c.Auth.Host, &o.tls: &c.TLS.Mode, &o.store: &c.Store} {
		if *value != "" {
			*setting = *value
		}
	}
	for value, setting := range map[*int]*int{&o.httpPort: &c.Edge.HTTPPort, &o.httpsPort: &c.Edge.HTTPSPort} {
		if *value != 0 {
			*setting = *value
		}
	}
	if c.Host == "" {
		return c, usageError("see regctl preflight --help", "missing --host: there are no settings in %s", dir)
	}
	return c.WithDefaults(), nil
}

// printPreflight prints a line for each finding, and below it what to do.
func printPreflight(w io.Writer, results []provision.PreflightResult) error {
	marks := map[provision.Level]string{provision.LevelOK: "ok", provision.LevelWarning: "warn", provision.LevelError: "FAIL"}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		detail := oneLine(r.Detail)
		if r.Ignored {
			detail += " (ignored)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", marks[r.Level], r.Name, detail)
		if r.Fix != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", oneLine(r.Fix))
		}
	}
	return t.Flush()
}
