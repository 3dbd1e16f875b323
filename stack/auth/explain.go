package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

// Verdict is what one rule says to a query.
type Verdict struct {
	Rule    *store.Rule `json:"rule"`
	Matched bool        `json:"matched"` // this is the rule that decides
	// Reason says to a person why the rule does not match, or why it denies
	// although it is not known to match; "" if it matches.
	Reason string `json:"reason,omitempty"`
}

// Explain returns the verdicts of all rules up to the one that decides q at
// now, or of all rules if none does. It goes through all of them, for people;
// Decide comes to the same rule faster.
func (a *ACL) Explain(q *Query, now time.Time) []Verdict {
	var verdicts []Verdict
	for i := range a.rules {
		v := Verdict{Rule: &a.source[i]}
		reasons := a.rules[i].objections(q, now, a.cache)
		v.Matched = len(reasons) == 0
		if v.Matched && a.rules[i].matches(q, a.cache) == unknown {
			reasons = []string{"denies, because its labels or its regular expression are too large to tell whether it matches"}
		}
		v.Reason = strings.Join(reasons, "; ")
		verdicts = append(verdicts, v)
		if v.Matched {
			break
		}
	}
	return verdicts
}

// objections lists why r does not decide q.
func (r *rule) objections(q *Query, now time.Time, cache *regexCache) []string {
	var reasons []string
	if r.Over(now) {
		reasons = append(reasons, "expired "+stamp(r.Expires))
	} else if r.Pending(now) {
		reasons = append(reasons, "begins "+stamp(r.NotBefore))
	}
	written := slices.Clone(r.conditions) // in the order that people write them
	slices.SortStableFunc(written, func(x, y condition) int { return int(x.field) - int(y.field) })
	for _, c := range written {
		if c.holds(q, cache) == no {
			reasons = append(reasons, c.objection(q, cache))
		}
	}
	return reasons
}

// objection says why c, which does not hold, does not.
func (c *condition) objection(q *Query, cache *regexCache) string {
	switch c.field {
	case fieldIP:
		if !q.IP.IsValid() {
			return fmt.Sprintf("the address is unknown, not in %s", c.network)
		}
		return fmt.Sprintf("address %s is not in %s", q.IP, c.network)
	case fieldLabel:
		values, has := q.Labels[c.label]
		switch {
		case !has:
			return fmt.Sprintf("label %s is missing", c.label)
		case len(values) == 0:
			return fmt.Sprintf("label %s has no values", c.label)
		}
		return fmt.Sprintf("no value of label %s (%s) matches %s%s",
			c.label, list(values), shown(c.pattern.text), c.pattern.details(values, q, cache))
	default:
		value := q.value(c.field)
		return fmt.Sprintf("%s %q does not match %s%s",
			c.field, value, shown(c.pattern.text), c.pattern.details([]string{value}, q, cache))
	}
}

// shown makes the empty pattern visible.
func shown(pattern string) string {
	if pattern == "" {
		return `""`
	}
	return pattern
}

// details tells what the placeholders of p stand for, and whether a "/" is the
// only reason that none of the texts matched.
func (p *pattern) details(texts []string, q *Query, cache *regexCache) string {
	var notes, said []string
	for i := range p.parts {
		part := &p.parts[i]
		if part.kind == textPart || slices.Contains(said, part.text) {
			continue
		}
		said = append(said, part.text)
		notes = append(notes, p.filledWith(part, q))
	}
	details := ""
	if len(notes) > 0 {
		details = " (" + strings.Join(notes, "; ") + ")"
	}
	for _, text := range texts {
		if p.matchesCrossing(text, q, cache) {
			return details + `, because * and ? do not match "/"`
		}
	}
	return details
}

// filledWith tells what stands for one placeholder.
func (p *pattern) filledWith(part *part, q *Query) string {
	switch part.kind {
	case valuePart:
		return fmt.Sprintf("%s %q", part.field, q.value(part.field))
	case capturePart:
		found := part.source.FindStringSubmatch(q.value(part.field))
		if found == nil {
			return part.text + " not found"
		}
		return fmt.Sprintf("%s %q", part.text, found[part.group])
	}
	key := p.labels[part.label]
	values, has := q.Labels[key]
	switch {
	case !has:
		return fmt.Sprintf("label %s is missing", key)
	case len(values) == 0:
		return fmt.Sprintf("label %s has no values", key)
	case len(p.labels) == 1:
		return list(values)
	default:
		return key + ": " + list(values)
	}
}

// list shows the first few values.
func list(values []string) string {
	const most = 10
	if n := len(values) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(values[:most], ", "), n)
	}
	return strings.Join(values, ", ")
}

// matchesCrossing reports whether p would match s if * and ? matched "/".
func (p *pattern) matchesCrossing(s string, q *Query, cache *regexCache) bool {
	return p.kind != regexPattern &&
		p.fill(filling{pattern: p, query: q, cache: cache, text: neutral(s), crosses: true}) == yes
}
