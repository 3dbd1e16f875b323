package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// RuleTest is a question to the access list, as a client's token request would
// ask it. Type is "repository" if empty. IP is the client's address; without
// one no condition on it holds.
type RuleTest struct {
	User    string   `json:"username"`
	Type    string   `json:"type,omitempty"`
	Name    string   `json:"name"`
	Service string   `json:"service,omitempty"`
	IP      string   `json:"ip,omitempty"`
	Actions []string `json:"actions"`
}

// RuleTestResult is the answer of the access list and how it came about.
type RuleTestResult struct {
	Allowed bool     `json:"allowed"` // all that was asked
	Granted []string `json:"granted"`
	Denied  []string `json:"denied"`
	// Refusal says why the account cannot log in, whatever its rights are.
	Refusal string `json:"refusal,omitempty"`
	// Until is when the answer may change for the worse.
	Until time.Time `json:"until,omitzero"`
	// Rules are those up to the one that decides, or all if none does.
	Rules []RuleVerdict `json:"rules"`
}

// RuleVerdict is what one rule says to the question.
type RuleVerdict struct {
	Verdict
	Source Source `json:"source"`
}

func (a *admin) testRules(_ context.Context, in RuleTest) (RuleTestResult, error) {
	snap, now := a.current.Load(), a.now()
	q, err := in.query()
	if err != nil {
		return RuleTestResult{}, err
	}
	acct := snap.account(in.User)
	if acct == nil && in.User != "" {
		return RuleTestResult{}, noUser(in.User)
	}
	result := RuleTestResult{Rules: []RuleVerdict{}}
	if acct == nil {
		result.Refusal = "anonymous access is not configured"
	} else {
		q.Labels, result.Until = acct.labels, acct.Expires
		result.Refusal = refusal(acct, now)
	}
	d := snap.decide(&q, now)
	result.Rules = snap.explain(&q, now)
	result.Until = sooner(result.Until, d.Until)
	result.Granted, result.Denied = []string{}, []string{}
	for _, action := range q.Actions {
		if result.Refusal == "" && slices.Contains(d.Actions, action) {
			result.Granted = append(result.Granted, action)
		} else {
			result.Denied = append(result.Denied, action)
		}
	}
	result.Allowed = len(result.Denied) == 0
	return result, nil
}

func (t RuleTest) query() (Query, error) {
	q := Query{Account: t.User, Type: t.Type, Name: t.Name, Service: t.Service, Actions: slices.Compact(slices.Sorted(slices.Values(t.Actions)))}
	if q.Type == "" {
		q.Type = "repository"
	}
	if q.Name == "" {
		return Query{}, usage("the name of the repository is empty")
	}
	if len(q.Actions) == 0 || slices.Contains(q.Actions, "") {
		return Query{}, usage("an action is empty: want a word such as pull, push, delete, or *")
	}
	if t.IP != "" {
		addr, err := netip.ParseAddr(t.IP)
		if err != nil || addr.Zone() != "" {
			return Query{}, usage(fmt.Sprintf("ip %q: want an IPv4 or IPv6 address", t.IP))
		}
		q.IP = addr.Unmap()
	}
	return q, nil
}

// explain returns the verdicts of the rules in the order in which they are asked.
func (snap *snapshot) explain(q *Query, now time.Time) []RuleVerdict {
	all := []RuleVerdict{}
	for _, list := range snap.lists() {
		for _, v := range list.Explain(q, now) {
			all = append(all, RuleVerdict{v, list.source})
			if v.Matched {
				return all
			}
		}
	}
	return all
}

// refusal says why an account cannot log in now, or "".
func refusal(acct *account, now time.Time) string {
	switch standing(acct.disabled, acct.Window, now) {
	case Disabled:
		return "the account is disabled"
	case Expired:
		return "the account expired " + stamp(acct.Expires)
	case Pending:
		return "the account begins " + stamp(acct.NotBefore)
	default:
		return ""
	}
}
