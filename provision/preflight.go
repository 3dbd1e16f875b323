package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"regctl/provision/host"
)

// Level is how bad a [Finding] is.
type Level string

const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning" // worth reading; the set-up goes on
	LevelError   Level = "error"   // the set-up would fail, or break something else
)

// Finding is what a preflight check found out.
type Finding struct {
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do: a command where possible
}

func okay(format string, args ...any) []Finding {
	return []Finding{{Level: LevelOK, Detail: fmt.Sprintf(format, args...)}}
}

func warn(fix, format string, args ...any) []Finding {
	return []Finding{{LevelWarning, fmt.Sprintf(format, args...), fix}}
}

func fail(fix, format string, args ...any) []Finding {
	return []Finding{{LevelError, fmt.Sprintf(format, args...), fix}}
}

// unknown is the finding of a check that could not look: it is no reason to
// stop, and no reason to claim that all is well.
func unknown(err error) []Finding { return warn("", "cannot tell: %v", err) }

// PreflightCheck is one question about a host before anything is changed on it.
type PreflightCheck struct {
	// Name is what people waive the check by. It never changes.
	Name string
	// Run returns at least one finding. It ends soon after its context.
	Run func(ctx context.Context, l host.Looker) []Finding
}

// PreflightResult is a finding with the name of the check that made it.
type PreflightResult struct {
	Name string `json:"name"`
	Finding
	// Ignored says that a warning was an error until the check was waived.
	Ignored bool `json:"ignored,omitempty"`
}

// RunPreflight runs all checks at once and returns what they found, in their
// order. Errors of the checks named in ignore become warnings; a name there
// that no check has is an error, and then nothing is run.
func RunPreflight(ctx context.Context, l host.Looker, checks []PreflightCheck, ignore []string) ([]PreflightResult, error) {
	if err := knownChecks(checks, ignore); err != nil {
		return nil, err
	}
	found := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkLimit)
			defer cancel()
			found[i] = c.Run(ctx, l)
		})
	}
	wg.Wait()
	var results []PreflightResult
	for i, c := range checks {
		for _, f := range found[i] {
			r := PreflightResult{Name: c.Name, Finding: f}
			if f.Level == LevelError && slices.Contains(ignore, c.Name) {
				r.Level, r.Ignored = LevelWarning, true
			}
			results = append(results, r)
		}
	}
	return results, ctx.Err()
}

func knownChecks(checks []PreflightCheck, names []string) error {
	var known, unknown []string
	for _, c := range checks {
		known = append(known, c.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("unknown preflight check %s; known: %s", strings.Join(unknown, ", "), strings.Join(known, ", "))
	}
	return nil
}

// PreflightErrors counts the findings that forbid to go on.
func PreflightErrors(results []PreflightResult) int {
	n := 0
	for _, r := range results {
		if r.Level == LevelError {
			n++
		}
	}
	return n
}
