package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

// dateFlags are --expires and --not-before.
type dateFlags struct{ expires, notBefore string }

func (d *dateFlags) addFlags(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVar(&d.expires, "expires", "", what+" ends with this `DATE` (2027-01-31), at this time (2027-01-31T12:00Z) or after this duration (72h, 90d)")
	flags.StringVar(&d.notBefore, "not-before", "", what+" begins with this `DATE`, at this time or after this duration")
}

// window returns the dates given.
func (d *dateFlags) window(e *env) (w store.Window, err error) {
	if d.notBefore != "" {
		if w.NotBefore, err = auth.ParseNotBefore(d.notBefore, e.now()); err != nil {
			return w, flagError("not-before", err)
		}
	}
	if d.expires != "" {
		if w.Expires, err = auth.ParseExpires(d.expires, e.now()); err != nil {
			return w, flagError("expires", err)
		}
	}
	return w, nil
}

// edits returns those dates that were given.
func (d *dateFlags) edits(e *env) (notBefore, expires *time.Time, err error) {
	w, err := d.window(e)
	if err != nil {
		return nil, nil, err
	}
	if d.notBefore != "" {
		notBefore = &w.NotBefore
	}
	if d.expires != "" {
		expires = &w.Expires
	}
	return notBefore, expires, nil
}

// until tells the dates of something at the end of a note.
func (e *env) until(w store.Window) string {
	var text string
	if !w.NotBefore.IsZero() {
		text += ", begins " + e.moment(w.NotBefore)
	}
	if !w.Expires.IsZero() {
		text += ", expires " + e.moment(w.Expires)
	}
	return text
}

// clearFlag is --clear, which empties fields. They have the names of their
// flags here, and those of their JSON keys in the admin API.
type clearFlag struct{ fields []string }

func (c *clearFlag) value() (keys []string) {
	for _, field := range c.fields {
		keys = append(keys, strings.ReplaceAll(field, "-", "_"))
	}
	return keys
}

func (c *clearFlag) addFlag(cmd *cobra.Command, fields ...string) {
	cmd.Flags().StringSliceVar(&c.fields, "clear", nil, "empty these `FIELDS`: "+strings.Join(fields, ", "))
	must(cmd.RegisterFlagCompletionFunc("clear", cobra.FixedCompletions(fields, cobra.ShellCompDirectiveNoFileComp)))
}

// parseLabels reads KEY=VALUE arguments of the named flag.
func parseLabels(flag string, texts []string) (map[string][]string, error) {
	labels := map[string][]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usageError("", "--%s %q: want KEY=VALUE", flag, text)
		}
		labels[key] = append(labels[key], value)
	}
	return labels, nil
}

// parseRemovedLabels also accepts KEY, for all its values.
func parseRemovedLabels(flag string, texts []string) (map[string][]string, error) {
	var pairs []string
	labels := map[string][]string{}
	for _, text := range texts {
		if strings.Contains(text, "=") {
			pairs = append(pairs, text)
		} else {
			labels[text] = nil
		}
	}
	values, err := parseLabels(flag, pairs)
	for key := range values {
		if _, all := labels[key]; all {
			return nil, usageError("", "--%s: both %s and values of it", flag, key)
		}
		labels[key] = values[key]
	}
	return labels, err
}
