package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"regctl/provision"
)

// statusAgain is how long status --wait pauses between two looks.
const statusAgain = 200 * time.Millisecond

func newStatusCmd(e *env) *cobra.Command {
	var s server
	var output format
	var wait time.Duration
	var quietly bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "check the health of an installation",
		Long: `Check the health of an installation: of its containers, as regctl.yaml in its
directory describes them, or of regctl serve where there is no such file.`,
		Example: `  regctl status --dir ./registry --wait 10s
  regctl status --quiet || mail -s "registry" root`,
		Args:        wantArgs(),
		Annotations: exits("0 healthy", codeFailed, codeUsage, codeUnhealthy),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return usageError("", "--wait: %s is negative", wait)
			}
			checks, err := s.checks(cmd.Context(), e)
			if err != nil {
				return err
			}
			results := waitHealthy(cmd.Context(), checks, wait)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			well := healthy(results)
			if quietly {
				results = slices.DeleteFunc(results, func(r provision.CheckResult) bool { return r.OK || r.Skipped })
			}
			if err := output.print(e.stdout, results, func(w io.Writer) error { return printChecks(w, results) }); err != nil {
				return err
			}
			if !well {
				return quiet(codeUnhealthy)
			}
			return nil
		},
	}
	s.addFlags(cmd)
	output.addFlag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this long for everything to be healthy (10s, 1m)")
	cmd.Flags().BoolVarP(&quietly, "quiet", "q", false, "print only the checks that fail")
	return cmd
}

// checks are those of the runtime that the installation has.
func (s *server) checks(ctx context.Context, e *env) ([]provision.Check, error) {
	if _, err := os.Stat(provision.Paths{Dir: s.dir}.Config()); errors.Is(err, fs.ErrNotExist) {
		return provision.EmbeddedChecks(s.dir, s.path()), nil
	}
	c, paths, err := readInstallation(s.dir)
	if err != nil {
		return nil, err
	}
	ground, err := e.ground(ctx)
	if err != nil {
		return nil, err
	}
	return provision.New(paths.Dir, c, ground).Checks(ctx, s.path()), nil
}

// waitHealthy looks until all is well or the time is over.
func waitHealthy(ctx context.Context, checks []provision.Check, wait time.Duration) []provision.CheckResult {
	over := time.After(wait)
	for {
		results := provision.RunChecks(ctx, checks)
		if wait == 0 || healthy(results) {
			return results
		}
		select {
		case <-over:
			return results
		case <-ctx.Done():
			return results
		case <-time.After(statusAgain):
		}
	}
}

func healthy(results []provision.CheckResult) bool {
	for _, r := range results {
		if !r.OK {
			return false
		}
	}
	return true
}

// printChecks prints a line for each check, and below a failed one what to do,
// unless that was said before.
func printChecks(w io.Writer, results []provision.CheckResult) error {
	said := ""
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark(r.OK, r.Skipped), r.Name, oneLine(r.Detail))
		if r.Remedy != said && r.Remedy != "" {
			said = r.Remedy
			fmt.Fprintf(t, "\t\t→ %s\n", r.Remedy)
		}
	}
	return t.Flush()
}

// mark begins the line of a check. What was not tried does not look like what
// was found well.
func mark(ok, skipped bool) string {
	switch {
	case skipped:
		return "SKIP"
	case ok:
		return "ok"
	default:
		return "FAIL"
	}
}
