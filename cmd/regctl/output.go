package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }

func (f *format) Set(text string) error {
	switch format(text) {
	case formatTable, formatJSON:
		*f = format(text)
		return nil
	}
	return fmt.Errorf("want table or json")
}

func (f *format) addFlag(cmd *cobra.Command) {
	*f = formatTable
	cmd.Flags().VarP(f, "output", "o", "how to print the result")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)))
}

// print prints value as JSON, or what table prints.
func (f format) print(w io.Writer, value any, table func(io.Writer) error) error {
	if f == formatTable {
		return table(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// printTable aligns the columns of rows below their heads.
func printTable(w io.Writer, heads []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heads}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = visible(cell); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// visible escapes what could steer a terminal: an audit record holds whatever a
// client sent.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// oneLine is visible for messages.
func oneLine(text string) string {
	return visible(strings.ReplaceAll(strings.TrimSpace(text), "\n", ": "))
}

// moment shows a time in the zone of now; empty if there is none.
func (e *env) moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(e.now().Location()).Format("2006-01-02 15:04:05 MST")
}

// soon is how long before its end an account or token is marked.
const soon = 14 * 24 * time.Hour

// standing shows whether something can be used, and for how long if that is not
// long.
func (e *env) standing(s auth.Standing, expires time.Time) string {
	left := expires.Sub(e.now())
	if s != auth.Active || expires.IsZero() || left > soon {
		return string(s)
	}
	return "active, ends in " + roughly(left)
}

// roughly rounds a duration down to its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return plural(int(d.Hours())/24, "day")
	case d >= 2*time.Hour:
		return plural(int(d.Hours()), "hour")
	case d >= 2*time.Minute:
		return plural(int(d.Minutes()), "minute")
	default:
		return plural(int(d.Seconds()), "second")
	}
}

// printFields prints what is known of one thing.
func printFields(w io.Writer, fields [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if f[1] != "" {
			fmt.Fprintf(t, "%s:\t%s\n", f[0], visible(f[1]))
		}
	}
	return t.Flush()
}
