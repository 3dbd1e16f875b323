package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

// RuleInfo is a rule as the admin API shows it. The configuration's rules have
// a numbering of their own.
type RuleInfo struct {
	store.Rule
	Source Source `json:"source"`
	// Existed says, of a rule to add, that the very same was there already.
	Existed bool `json:"existed,omitempty"`
}

// NewRule is a rule to add. Without Seq it comes last; with one below 0, which
// only a rule with Expires may have, it comes before all, the configuration's
// too. Actions nil is an error: a rule that denies says so with an empty list.
type NewRule struct {
	Seq     *int64      `json:"seq,omitempty"`
	Match   store.Match `json:"match"`
	Actions []string    `json:"actions"`
	Comment string      `json:"comment,omitempty"`
	store.Window
}

// RuleEdit is a change of a rule. What is nil stays; Match replaces all
// conditions. Clear names fields to empty first: comment, expires, not_before.
type RuleEdit struct {
	Seq       int64        `json:"seq"`
	Clear     []string     `json:"clear,omitempty"`
	Match     *store.Match `json:"match,omitempty"`
	Actions   *[]string    `json:"actions,omitempty"`
	Comment   *string      `json:"comment,omitempty"`
	NotBefore *time.Time   `json:"not_before,omitempty"`
	Expires   *time.Time   `json:"expires,omitempty"`
}

// RuleMove gives a rule another number, and so another place.
type RuleMove struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// RuleSeq is the input of operations on one rule.
type RuleSeq struct {
	Seq int64 `json:"seq"`
}

// seqStep is the distance of a rule that is added last, so that others find
// room between.
const seqStep = 10

func (a *admin) listRules(context.Context, nothing) ([]RuleInfo, error) {
	snap := a.current.Load()
	all := []RuleInfo{}
	for _, list := range snap.lists() {
		for _, r := range list.ACL.source {
			all = append(all, RuleInfo{Rule: r, Source: list.source})
		}
	}
	return all, nil
}

// errExists ends a change that would change nothing.
var errExists = errors.New("exists already")

// addRule is repeatable: adding the same rule again is no error, so that a
// script which sets up an installation can run twice.
func (a *admin) addRule(ctx context.Context, in NewRule) (RuleInfo, error) {
	r := store.Rule{Match: in.Match, Actions: slices.Compact(slices.Clone(in.Actions)), Comment: in.Comment, Window: in.Window}
	if err := checkRule(r); err != nil {
		return RuleInfo{}, err
	}
	if err := checkWindow(r.Window, a.now()); err != nil {
		return RuleInfo{}, err
	}
	var n note
	err := a.change(ctx, &n, func(state store.State) (store.Change, error) {
		if in.Seq == nil {
			r.Seq = nextSeq(state.Rules)
		} else {
			r.Seq = *in.Seq
		}
		n.what = "rule added: " + describeRule(r)
		if reflect.DeepEqual(state.Rules[r.Seq], r) {
			return store.Change{}, errExists
		}
		if err := freeSeq(state, r); err != nil {
			return store.Change{}, err
		}
		return store.Change{PutRules: []store.Rule{r}}, nil
	})
	if errors.Is(err, errExists) {
		return RuleInfo{Rule: r, Source: SourceStore, Existed: true}, nil
	}
	return RuleInfo{Rule: r, Source: SourceStore}, err
}

func nextSeq(rules map[int64]store.Rule) int64 {
	var last int64
	for seq := range rules {
		last = max(last, seq)
	}
	return last - last%seqStep + seqStep
}

// freeSeq refuses a number that another rule has, or that r must not have.
func freeSeq(state store.State, r store.Rule) error {
	if err := checkSeq(r); err != nil {
		return err
	}
	if taken, exists := state.Rules[r.Seq]; exists {
		return conflict(fmt.Sprintf("rule %d exists already (%s)", r.Seq, describeRule(taken)),
			"take another --seq, or change the rule: regctl acl set, regctl acl move")
	}
	return nil
}

func checkSeq(r store.Rule) error {
	switch {
	case temporary(r) && r.Seq >= -maxSeq, 0 <= r.Seq && r.Seq <= maxSeq:
		return nil
	case r.Seq < 0 && r.Seq >= -maxSeq:
		return usage(fmt.Sprintf("seq %d: want a number from 0 to %d; only a rule that expires may come before all others", r.Seq, maxSeq))
	}
	return usage(fmt.Sprintf("seq %d: want a number from 0 to %d", r.Seq, maxSeq))
}

// checkRule checks what compiling the access list does not.
func checkRule(r store.Rule) error {
	if err := checkActions(r.Actions); err != nil {
		return err
	}
	for _, pattern := range patterns(r.Match) {
		if len(pattern) > maxPattern {
			return usage(fmt.Sprintf("match: a pattern is longer than %d bytes", maxPattern))
		}
		if !printable(pattern) {
			return usage(fmt.Sprintf("match %q: only printable characters are allowed", pattern))
		}
	}
	return checkComment(r.Comment)
}

// patterns lists all texts of m.
func patterns(m store.Match) (texts []string) {
	for _, p := range []*string{m.Account, m.Type, m.Name, m.Service, m.IP} {
		if p != nil {
			texts = append(texts, *p)
		}
	}
	for key, p := range m.Labels {
		texts = append(texts, key, p)
	}
	return texts
}

func storedRule(state store.State, seq int64) (store.Rule, error) {
	r, ok := state.Rules[seq]
	if !ok {
		return store.Rule{}, notFound(fmt.Sprintf("no rule %d", seq), "list them: regctl acl list")
	}
	return r, nil
}

func (a *admin) setRule(ctx context.Context, in RuleEdit) (RuleInfo, error) {
	var r store.Rule
	var n note
	err := a.change(ctx, &n, func(state store.State) (_ store.Change, err error) {
		if r, err = storedRule(state, in.Seq); err != nil {
			return store.Change{}, err
		}
		if err := in.apply(&r); err != nil {
			return store.Change{}, err
		}
		if in.Expires != nil || in.NotBefore != nil {
			if err := checkWindow(r.Window, a.now()); err != nil {
				return store.Change{}, err
			}
		}
		if err := checkSeq(r); err != nil {
			return store.Change{}, err
		}
		n.what = "rule changed: " + describeRule(r)
		return store.Change{PutRules: []store.Rule{r}}, checkRule(r)
	})
	return RuleInfo{Rule: r, Source: SourceStore}, err
}

// apply changes r as e says.
func (e RuleEdit) apply(r *store.Rule) error {
	for _, field := range e.Clear {
		switch field {
		case "comment":
			r.Comment = ""
		case "expires":
			r.Expires = time.Time{}
		case "not_before":
			r.NotBefore = time.Time{}
		default:
			return usage(fmt.Sprintf("clear %q: want comment, expires or not_before", field))
		}
	}
	setIf(&r.Match, e.Match)
	setIf(&r.Actions, e.Actions)
	setIf(&r.Comment, e.Comment)
	setIf(&r.NotBefore, e.NotBefore)
	setIf(&r.Expires, e.Expires)
	return nil
}

func (a *admin) moveRule(ctx context.Context, in RuleMove) (RuleInfo, error) {
	var r store.Rule
	n := note{what: fmt.Sprintf("rule %d moved to %d", in.From, in.To)}
	err := a.change(ctx, &n, func(state store.State) (_ store.Change, err error) {
		if r, err = storedRule(state, in.From); err != nil {
			return store.Change{}, err
		}
		r.Seq = in.To
		if err := freeSeq(state, r); err != nil {
			return store.Change{}, err
		}
		return store.Change{DropRules: []int64{in.From}, PutRules: []store.Rule{r}}, nil
	})
	return RuleInfo{Rule: r, Source: SourceStore}, err
}

func (a *admin) removeRule(ctx context.Context, in RuleSeq) (RuleInfo, error) {
	var r store.Rule
	var n note
	err := a.change(ctx, &n, func(state store.State) (_ store.Change, err error) {
		if r, err = storedRule(state, in.Seq); err != nil {
			return store.Change{}, err
		}
		n.what = "rule removed: " + describeRule(r)
		return store.Change{DropRules: []int64{in.Seq}}, nil
	})
	return RuleInfo{Rule: r, Source: SourceStore}, err
}

// DescribeMatch writes conditions the way acl add reads them: name=prod/*,
// separated by spaces; "everything" if there are none.
func DescribeMatch(m store.Match) string {
	var parts []string
	for _, c := range []struct {
		key     string
		pattern *string
	}{{"account", m.Account}, {"type", m.Type}, {"name", m.Name}, {"service", m.Service}, {"ip", m.IP}} {
		if c.pattern != nil {
			parts = append(parts, c.key+"="+*c.pattern)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		parts = append(parts, "label."+key+"="+m.Labels[key])
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}
