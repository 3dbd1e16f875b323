package auth

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"regctl/stack/auth/store"
)

// RuleError is a rule that cannot be compiled.
type RuleError struct {
	Index int    // place in the compiled list, from 0
	Seq   int64  // the rule's own number
	Msg   string // what is wrong, without the place
}

func (e *RuleError) Error() string { return fmt.Sprintf("rule %d: %s", e.Seq, e.Msg) }

// CompileOption changes what CompileACL accepts.
type CompileOption uint8

// IgnoreBadGlobs accepts malformed globs, which match nothing, as docker_auth
// does.
const IgnoreBadGlobs CompileOption = 1

// CompileACL makes an access list of rules, which are tried in the given order:
// the first whose conditions all hold decides, and no match denies. The rules
// must not be changed afterwards. An error is a *RuleError.
//
// # Conditions
//
// A rule may set conditions on account, type, name and service (patterns), on
// ip, and on labels of the account. All that are set must hold; an absent one
// always holds, and the pattern "" holds for the empty text only (account "" is
// the anonymous user).
//
// A condition on ip is an address or a network such as 10.0.0.0/8. An
// IPv4-mapped IPv6 address is the IPv4 address, in patterns too; ::/0 holds no
// IPv4 address and 0.0.0.0/0 no IPv6 address.
//
// A condition on label K is a pattern that at least one value of K must match;
// an account without K does not meet it. Keys are exact.
//
// # Patterns
//
// A pattern of more than two bytes that begins and ends with "/" is a regular
// expression (RE2, package regexp): /^prod\// holds for every text with a match
// anywhere in it, so anchor it with ^ and $. It is case-sensitive unless it
// says (?i).
//
// Any other pattern is a glob that the whole text must match, case-sensitive,
// in the language of [path.Match]:
//
//   - any run of characters, but not "/"; ** is the same
//     ?      any one character but "/"
//     [a-z]  one character of the class; [^a-z] one of the others, "/" included
//     \c     the character c itself
//
// So * does not hold for a/b, and a/* not for a/b/c.
//
// # Placeholders
//
//	${account} ${type} ${name} ${service}
//
// stand for the value in the request, as literal text.
//
//	${account:N} ${type:N} ${name:N} ${service:N}
//
// stand for what the N-th group, from 1, of the regular expression in the same
// rule's condition of that name has found in the request's value, as literal
// text; a group that took no part is empty. The placeholders in that regular
// expression itself are not filled for this purpose.
//
//	${labels:KEY}
//
// stands for each value of that label of the account in turn, and these are
// patterns: globs, pieces of the pattern around them, or a whole /regular
// expression/. The pattern holds if it does for any combination of the values
// of its labels; one label has the same value everywhere in one condition, but
// conditions are independent of each other. In a condition on a label,
// ${labels:KEY} is not a placeholder.
//
// A placeholder that cannot be filled (no such label, no such group, no match)
// is the literal text that is written there, as is any other ${text} and one
// after a backslash. What fills a placeholder is not searched for further ones.
// Whether a pattern is a glob or a regular expression is seen with labels
// filled in, but before all other placeholders are: an account named /x/ is
// never a regular expression.
//
// # Limits
//
// At most 10,000 label values are tried for one condition, counting a value
// once for each combination of those before it; values that cannot begin the
// text cut off all their combinations. A regular expression with placeholders
// filled in has at most 16 KiB. A rule that reaches one of these limits, and of
// which no other condition fails, denies: to go on without it would open what a
// rule that denies, or grants less than a later one, was meant to close.
//
// # Dates and actions
//
// A rule outside its window is skipped. The rule that decides grants those of
// the asked actions that it lists; exactly the list ["*"] grants all that is
// asked. In a longer list "*" is a word like any other. An empty list denies; a
// missing one is an error.
func CompileACL(rules []store.Rule, options ...CompileOption) (*ACL, error) {
	return compileACL(rules, slices.Contains(options, IgnoreBadGlobs), func(bad *RuleError) error { return bad })
}

// compileACL is CompileACL. What fault forgives denies for everyone, at its time.
func compileACL(rules []store.Rule, badGlobs bool, fault func(*RuleError) error) (*ACL, error) {
	a := &ACL{
		source: slices.Clone(rules),
		rules:  make([]rule, len(rules)),
		cache:  newRegexCache(),
	}
	for i := range a.source {
		source := &a.source[i]
		r, err := compileRule(source, badGlobs)
		if err != nil {
			if err := fault(&RuleError{Index: i, Seq: source.Seq, Msg: err.Error()}); err != nil {
				return nil, err
			}
			source.Match, source.Actions = store.Match{}, []string{}
			r = rule{source.Window, nil}
		}
		a.rules[i] = r
	}
	a.index = newIndex(a.rules)
	return a, nil
}

func compileRule(source *store.Rule, badGlobs bool) (rule, error) {
	if source.Actions == nil {
		return rule{}, errors.New("missing actions (an empty list denies)")
	}
	conditions, err := compileMatch(&source.Match, badGlobs)
	if err != nil {
		return rule{}, fmt.Errorf("invalid match conditions: %w", err)
	}
	slices.SortStableFunc(conditions, func(x, y condition) int { return x.cost() - y.cost() })
	return rule{source.Window, conditions}, nil
}

// compileMatch reports the first fault in docker_auth's order and words.
func compileMatch(m *store.Match, badGlobs bool) ([]condition, error) {
	var conditions []condition
	texts := sources{m.Account, m.Type, m.Name, m.Service}
	for f, text := range texts {
		if text == nil {
			continue
		}
		p, err := compilePattern(*text, patternContext{texts, true, badGlobs})
		if err != nil {
			return nil, fmt.Errorf("invalid pattern %q: %w", *text, err)
		}
		conditions = append(conditions, condition{field: field(f), pattern: p})
	}
	if m.IP != nil {
		network, err := parseNetwork(*m.IP)
		if err != nil {
			return nil, fmt.Errorf("invalid IP pattern: %w", err)
		}
		conditions = append(conditions, condition{field: fieldIP, network: network})
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		p, err := compilePattern(m.Labels[key], patternContext{texts, false, badGlobs})
		if err != nil {
			return nil, fmt.Errorf("invalid match pattern %q for label %s: %w", m.Labels[key], key, err)
		}
		conditions = append(conditions, condition{field: fieldLabel, label: key, pattern: p})
	}
	return conditions, nil
}

// parseNetwork reads an address or a network, unmapping IPv4-mapped ones. It
// stays with package net for its messages, which docker_auth's users know, and
// because it takes no zones.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip := net.ParseIP(text); ip != nil {
		addr, _ := netip.AddrFromSlice(ip)
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	_, network, err := net.ParseCIDR(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr, _ := netip.AddrFromSlice(network.IP)
	ones, size := network.Mask.Size()
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, ones-(size-addr.BitLen())), nil
}
