package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newAuditCmd(e *env) *cobra.Command {
	var (
		s            server
		q            auth.AuditSearch
		user         string
		since, until string
		denied       bool
		output       format
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "search the audit log: who asked for what, and what was decided",
		Long: `Search the audit log, newest first: every token request with the answer and the
rule that decided, and every change of users, rules and tokens.`,
		Example: `  regctl audit --since 1h --denied
  regctl audit --user waldi --limit 10 --output json`,
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage),
	}
	flags := cmd.Flags()
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, _ []string) error {
		var err error
		if flags.Changed("user") {
			q.Account = &user
		}
		if denied {
			q.Outcomes = []auth.Outcome{auth.Partial, auth.Denied, auth.Refused, auth.Throttled}
		}
		if q.Limit < 1 {
			return usageError("", "--limit %d: want 1 or more", q.Limit)
		}
		if q.Since, err = e.parseAgo("since", since); err != nil {
			return err
		}
		if q.Until, err = e.parseAgo("until", until); err != nil {
			return err
		}
		raw, err := c.Audit(ctx, q)
		if err != nil {
			return err
		}
		return output.print(e.stdout, raw, func(w io.Writer) error { return e.printAudit(w, raw) })
	})
	flags.StringVarP(&user, "user", "u", "", "only about this account; an empty one is who does not log in")
	flags.StringVar(&q.Client, "ip", "", "only from this address")
	flags.StringVar(&since, "since", "", "not before this `TIME`: a date, a time with zone, or a duration back (1h)")
	flags.StringVar(&until, "until", "", "before this `TIME`")
	flags.BoolVar(&denied, "denied", false, "only requests that did not get all they asked for")
	flags.IntVar(&q.Limit, "limit", 100, "at most so many records")
	output.addFlag(cmd)
	s.addFlags(cmd)
	must(cmd.RegisterFlagCompletionFunc("user", s.completeUsers))
	return cmd
}

// parseAgo reads a time of the past: a duration counts back from now.
func (e *env) parseAgo(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := auth.ParseDuration(text); err == nil {
		return e.now().Add(-d).UTC(), nil
	}
	t, err := auth.ParseNotBefore(text, e.now())
	if err != nil {
		return time.Time{}, flagError(flag, err)
	}
	return t, nil
}

func (e *env) printAudit(w io.Writer, raw []json.RawMessage) error {
	rows := make([][]string, len(raw))
	for i, line := range raw {
		var rec auth.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("reading an audit record: %w", err)
		}
		account := rec.Account
		if account == "" && rec.Outcome != auth.Changed {
			account = "(anonymous)"
		}
		rows[i] = []string{e.moment(rec.Time), string(rec.Outcome), account, rec.Client, auditDetails(rec)}
	}
	return printTable(w, []string{"TIME", "OUTCOME", "USER", "FROM", "DETAILS"}, rows)
}

// scopeDetails tells what was asked of one repository and what came of it.
func scopeDetails(sc auth.RecordScope) string {
	if sc.Granted == nil { // the request got no answer of this kind
		return "asked " + sc.Asked
	}
	granted := "nothing"
	if len(sc.Granted) > 0 {
		granted = strings.Join(sc.Granted, ",")
	}
	why := sc.Denial
	if sc.Rule != "" {
		why = strings.TrimSuffix("rule "+sc.Rule+": "+sc.Denial, ": ")
	}
	return fmt.Sprintf("%s got %s (%s)", sc.Asked, granted, why)
}

// auditDetails tells what was asked and granted, and why not.
func auditDetails(rec auth.Record) string {
	var parts []string
	if rec.Reason != "" {
		parts = append(parts, rec.Reason)
	}
	for _, sc := range rec.Scopes {
		parts = append(parts, scopeDetails(sc))
	}
	if len(parts) == 0 {
		parts = append(parts, "login")
	}
	return strings.Join(parts, "; ")
}
