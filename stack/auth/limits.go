package auth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"regctl/stack/auth/store"
)

// scopeLimits narrow what a named token may do: each is a rule of its own and
// what any of them grants is allowed, so long as the user may do it as well.
type scopeLimits []*ACL

// parseLimits reads scopes as "type:name-pattern:actions", for example
// repository:prod/*:pull. The pattern language is that of rules.
func parseLimits(texts []string) (scopeLimits, error) {
	var limits scopeLimits
	for _, text := range texts {
		s, err := parseScope(text)
		if err != nil {
			return nil, fmt.Errorf("scope %q: %w (want type:name-pattern:actions, for example repository:prod/*:pull)", text, err)
		}
		acl, err := CompileACL([]store.Rule{{
			Match:   store.Match{Type: &s.kind, Name: &s.name},
			Actions: s.actions,
		}})
		if bad, ok := errors.AsType[*RuleError](err); ok { // the rule is ours: its number says nothing
			return nil, fmt.Errorf("scope %q: %s", text, bad.Msg)
		}
		limits = append(limits, acl)
	}
	return limits, nil
}

// narrow returns those of granted that the limits allow.
func (l scopeLimits) narrow(q Query, granted []string, now time.Time) []string {
	if l == nil {
		return granted
	}
	q.Actions = granted
	var kept []string
	for _, acl := range l {
		kept = append(kept, acl.Decide(&q, now).Actions...)
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}
