package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth/store"
)

// actionFlags are --actions and --deny.
type actionFlags struct {
	actions string
	deny    bool
}

func (a *actionFlags) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.actions, "actions", "", "grant these `ACTIONS`: pull,push,delete, or * for all")
	cmd.Flags().BoolVar(&a.deny, "deny", false, "grant nothing: who meets this rule is denied")
	must(cmd.RegisterFlagCompletionFunc("actions", cobra.FixedCompletions([]string{"pull", "pull,push", "pull,push,delete", "*"}, cobra.ShellCompDirectiveNoFileComp)))
}

// value returns the actions, empty to deny and nil if none were given.
func (a *actionFlags) value(cmd *cobra.Command) ([]string, error) {
	given := cmd.Flags().Changed("actions")
	switch {
	case given && a.deny:
		return nil, usageError("", "--actions and --deny exclude each other")
	case given && a.actions == "":
		return nil, usageError("to deny, say --deny", "--actions is empty")
	case given:
		return strings.Split(a.actions, ","), nil
	case a.deny:
		return []string{}, nil
	}
	return nil, nil
}

// parseMatch reads the KEY=PATTERN arguments of --match. A key that is not
// known is an error: left out, it would widen the rule.
func parseMatch(texts []string) (store.Match, error) {
	var m store.Match
	for _, text := range texts {
		key, pattern, ok := strings.Cut(text, "=")
		if !ok {
			return m, usageError("", "--match %q: want KEY=PATTERN", text)
		}
		if err := addCondition(&m, key, pattern); err != nil {
			return m, usageError("", "--match %q: %v", text, err)
		}
	}
	return m, nil
}

func addCondition(m *store.Match, key, pattern string) error {
	if label, ok := strings.CutPrefix(key, "label."); ok {
		return addLabelCondition(m, label, pattern)
	}
	if label, ok := strings.CutPrefix(key, "labels."); ok {
		return addLabelCondition(m, label, pattern)
	}
	fields := map[string]**string{"account": &m.Account, "type": &m.Type, "name": &m.Name, "service": &m.Service, "ip": &m.IP}
	field, ok := fields[key]
	if !ok {
		return fmt.Errorf("unknown key %q: want account, type, name, service, ip or label.KEY", key)
	}
	if *field != nil {
		return fmt.Errorf("%s is given twice, and a rule has one pattern for it", key)
	}
	*field = &pattern
	return nil
}

func addLabelCondition(m *store.Match, label, pattern string) error {
	if label == "" {
		return fmt.Errorf("the label has no name")
	}
	if _, twice := m.Labels[label]; twice {
		return fmt.Errorf("label %s is given twice, and a rule has one pattern for it", label)
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	m.Labels[label] = pattern
	return nil
}
