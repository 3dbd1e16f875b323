package auth

import (
	"net/netip"
	"slices"
	"time"

	"regctl/stack/auth/store"
)

// Query is one question to the access list: may this account do these actions
// on that resource?
type Query struct {
	Account string
	Type    string
	Name    string
	Service string
	IP      netip.Addr          // unmapped: an IPv4-mapped IPv6 address is IPv4
	Labels  map[string][]string // of the account
	Actions []string            // sorted
}

// Decision is the answer of the access list.
type Decision struct {
	// Rule is the rule that decided, nil when none matched (which denies). It
	// belongs to the list: read it only.
	Rule *store.Rule
	// Limited says that a limit was reached before it was known whether Rule
	// matches, so nothing is granted; see CompileACL.
	Limited bool
	// Actions are the granted ones: sorted, a subset of the asked, maybe empty.
	// It may be the slice of the question itself: read it only.
	Actions []string
	// Until is when this answer ends: at the end of the deciding rule, or the
	// begin of an earlier rule that will match. Zero means never.
	Until time.Time
}

// ACL is a compiled access list. It does not change and may be used by many
// goroutines at once.
type ACL struct {
	source []store.Rule
	rules  []rule // of the source, at the same places
	index  index
	cache  *regexCache
}

// rule is a compiled store.Rule: the conditions that must all be met, the
// cheapest first.
type rule struct {
	store.Window
	conditions []condition
}

// condition is one line of a rule's match.
type condition struct {
	field   field
	label   string       // the key, of a fieldLabel
	network netip.Prefix // of a fieldIP
	pattern pattern      // of all others
}

// field is what a condition looks at.
type field uint8

const (
	fieldAccount field = iota
	fieldType
	fieldName
	fieldService
	fieldIP
	fieldLabel
)

func (f field) String() string {
	return [...]string{"account", "type", "name", "service", "ip", "label"}[f]
}

// value returns what the query says of one of the first four fields.
func (q *Query) value(f field) string {
	switch f {
	case fieldAccount:
		return q.Account
	case fieldType:
		return q.Type
	case fieldName:
		return q.Name
	default:
		return q.Service
	}
}

// cost orders the conditions of a rule; what fails cheaply is tried first.
func (c *condition) cost() int {
	if c.field == fieldIP {
		return int(literalPattern)
	}
	return int(c.pattern.kind)
}

// Decide answers q by the rules that hold at now.
func (a *ACL) Decide(q *Query, now time.Time) Decision {
	var begins time.Time // of the first earlier rule to come
	var buffer [64]int32
	for c := a.index.candidates(q, buffer[:0]); ; {
		i, ok := c.next()
		if !ok {
			return Decision{Until: begins}
		}
		r := &a.rules[i]
		if r.Over(now) {
			continue
		}
		matches := r.matches(q, a.cache)
		if matches == no {
			continue
		}
		if r.Pending(now) {
			if !r.Over(r.NotBefore) {
				begins = sooner(begins, r.NotBefore)
			}
			continue
		}
		d := Decision{Rule: &a.source[i], Limited: matches == unknown, Until: sooner(begins, r.Expires)}
		if !d.Limited {
			d.Actions = granted(q.Actions, d.Rule.Actions)
		}
		return d
	}
}

// sooner returns the earlier time, where zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// truth says whether a condition holds. Of conditions that must all hold the
// least decides, of alternatives the greatest.
type truth uint8

const (
	no      truth = iota
	unknown       // a limit was reached before it was clear
	yes
)

func truthOf(holds bool) truth {
	if holds {
		return yes
	}
	return no
}

func (r *rule) matches(q *Query, cache *regexCache) truth {
	all := yes
	for i := range r.conditions {
		if all = min(all, r.conditions[i].holds(q, cache)); all == no {
			break
		}
	}
	return all
}

func (c *condition) holds(q *Query, cache *regexCache) truth {
	switch c.field {
	case fieldIP:
		return truthOf(c.network.Contains(q.IP.Unmap().WithZone("")))
	case fieldLabel:
		return anyOf(q.Labels[c.label], func(value string) truth { return c.pattern.match(value, q, cache) })
	default:
		return c.pattern.match(q.value(c.field), q, cache)
	}
}

// anyOf says whether one of the values is as wanted.
func anyOf(values []string, wanted func(string) truth) truth {
	most := no
	for _, value := range values {
		if most = max(most, wanted(value)); most == yes {
			break
		}
	}
	return most
}

// granted returns the asked actions, which are sorted, that are allowed.
func granted(asked, allowed []string) []string {
	if len(allowed) == 1 && allowed[0] == "*" {
		return asked
	}
	grants := func(i int) bool {
		again := i > 0 && asked[i] == asked[i-1]
		return !again && slices.Contains(allowed, asked[i])
	}
	n := 0
	for i := range asked {
		if grants(i) {
			n++
		}
	}
	if n == len(asked) {
		return asked
	}
	out := make([]string, 0, n)
	for i := range asked {
		if grants(i) {
			out = append(out, asked[i])
		}
	}
	return out
}
