package main

import (
	"context"
	"fmt"
	"io"
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
	cmd := &cobra.Command{
		Use:         "status",
		Short:       "check the health of an installation",
		Example:     "  regctl status --dir ./registry --wait 10s",
		Args:        wantArgs(),
		Annotations: exits("0 healthy", codeFailed, codeUsage, codeUnhealthy),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return usageError("", "--wait: %s is negative", wait)
			}
			results := waitHealthy(cmd.Context(), provision.EmbeddedChecks(s.dir, s.path()), wait)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := output.print(e.stdout, results, func(w io.Writer) error { return printChecks(w, results) }); err != nil {
				return err
			}
			if !healthy(results) {
				return quiet(codeUnhealthy)
			}
			return nil
		},
	}
	s.addFlags(cmd)
	output.addFlag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this long for everything to be healthy (10s, 1m)")
	return cmd
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
		mark := "ok"
		if !r.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark, r.Name, oneLine(r.Detail))
		if r.Remedy != said && r.Remedy != "" {
			said = r.Remedy
			fmt.Fprintf(t, "\t\t→ %s\n", r.Remedy)
		}
	}
	return t.Flush()
}
