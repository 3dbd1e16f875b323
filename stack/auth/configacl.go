package auth

import (
	"errors"

	"regctl/stack/auth/store"
)

func (c *checker) acl(entries []section[ruleYAML]) error {
	if entries == nil {
		return nil
	}
	c.cfg.ACL = make([]store.Rule, len(entries))
	for i := range entries {
		rule, err := c.rule(at("acl", i), &entries[i])
		if err != nil {
			return err
		}
		rule.Seq = int64(i)
		c.cfg.ACL[i] = rule
	}
	return c.patterns()
}

func (c *checker) rule(place keyPath, s *section[ruleYAML]) (store.Rule, error) {
	r := &s.v
	if err := refuseUnknown(c, place, s); err != nil {
		return store.Rule{}, err
	}
	if r.Match == nil {
		return store.Rule{}, c.errorf(place, "%s, match is missing: match: {} holds for everything", place)
	}
	if err := c.match(place.child("match"), r.Match); err != nil {
		return store.Rule{}, err
	}
	if r.Actions == nil {
		return store.Rule{}, c.errorf(place, `%s, actions is missing: ["*"] allows all, [] denies all`, place)
	}
	window, err := window(c, place, s, r.NotBefore, r.Expires)
	m := r.Match.v
	return store.Rule{
		Match:   store.Match{Account: m.Account, Type: m.Type, Name: m.Name, Service: m.Service, IP: m.IP, Labels: m.Labels},
		Actions: r.Actions,
		Comment: r.Comment,
		Window:  window,
	}, err
}

// match refuses what narrows the rule for the reader only.
func (c *checker) match(place keyPath, s *section[matchYAML]) error {
	if err := refuseUnknown(c, place, s); err != nil {
		return err
	}
	for _, key := range s.blank() {
		p := place.child(key)
		if err := c.refuse(p, `%s is blank, which holds for everything: give a pattern ("" for empty text) or leave the key out`, p); err != nil {
			return err
		}
	}
	return nil
}

// patterns compiles the list to see whether it does. docker_auth takes a
// malformed glob for one that never matches.
func (c *checker) patterns() error {
	_, err := CompileACL(c.cfg.ACL)
	if bad, ok := errors.AsType[*RuleError](err); ok && c.opts.Compat {
		if _, err = CompileACL(c.cfg.ACL, IgnoreBadGlobs); err == nil {
			c.warnf(at("acl", bad.Index, "match"), "invalid ACL: entry %d, %s: it never matches", bad.Index, bad.Msg)
		}
	}
	if bad, ok := errors.AsType[*RuleError](err); ok {
		return c.errorf(at("acl", bad.Index, "match"), "invalid ACL: entry %d, %s", bad.Index, bad.Msg)
	}
	return err
}
