package auth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// generator makes random rules and queries of few words, so that they meet.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) pattern() string {
	pieces := func() string {
		var b strings.Builder
		for range 1 + g.IntN(4) {
			b.WriteString(g.pick("a", "b", "a/", "b/", "/", "-", "*", "?", "[ab]", "[^a]", `\*`, `\a`, "a.b",
				"${account}", "${type}", "${name}", "${service}", "${labels:l}", "${labels:m}", "${labels:l}",
				"${account:1}", "${name:1}", "${Type:2}", "${labels:none}", "${ip}"))
		}
		return b.String()
	}
	switch g.IntN(12) {
	case 0, 1, 2:
		return g.pick("", "a", "b", "a/b", "a/a", "b/a/b", "a.b", "*", "/", "//")
	case 3, 4:
		return g.pick("${labels:l}", "${labels:m}", "${account}", "${labels:l}/${labels:m}", "${account}/*", "a/*", "a/b*")
	case 5:
		return "/^" + pieces() + "$/"
	case 6:
		return g.pick("/^a/", "/^(.*)/", "/^(a)?(.)/", "/^a$/", `/^a\/b/`, "/b$/", "/^a|b/", "/(?i)^A/", "/^(.+)b$/")
	case 7:
		return "/" + pieces() + "/"
	default:
		return pieces()
	}
}

func (g generator) rule() store.Rule {
	r := store.Rule{Actions: []string{"*"}}
	for _, p := range []**string{&r.Match.Account, &r.Match.Type, &r.Match.Service} {
		if g.IntN(4) == 0 {
			*p = new(g.pattern())
		}
	}
	if g.IntN(3) > 0 {
		r.Match.Name = new(g.pattern())
	}
	if g.IntN(12) == 0 {
		r.Match.IP = new(g.pick("10.0.0.0/8", "::/0", "::1", "10.0.0.1", "::ffff:0:0/96"))
	}
	for g.IntN(4) == 0 {
		if r.Match.Labels == nil {
			r.Match.Labels = map[string]string{}
		}
		r.Match.Labels[g.pick("l", "m", "none")] = g.pattern()
	}
	if g.IntN(3) == 0 {
		r.Actions = slices.DeleteFunc([]string{"pull", "push", "*"}, func(string) bool { return g.IntN(2) == 0 })
	}
	day := func() time.Time { return noon.AddDate(0, 0, g.IntN(7)-3) }
	if g.IntN(6) == 0 {
		r.NotBefore = day()
	}
	if g.IntN(6) == 0 {
		r.Expires = day()
	}
	return r
}

// rules makes n rules that compile.
func (g generator) rules(n int) []store.Rule {
	var rules []store.Rule
	for len(rules) < n {
		r := g.rule()
		if _, err := CompileACL([]store.Rule{r}); err == nil {
			r.Seq = int64(len(rules))
			rules = append(rules, r)
		}
	}
	return rules
}

func (g generator) query() Query {
	word := func() string {
		return g.pick("", "a", "b", "ab", "a/b", "a/a", "b/a/b", "a.b", "*", "/a/", "/", "//", "a-b",
			"${labels:l}", "${account:1}", "[ab]", "a/b/a", `\`)
	}
	q := Query{
		Account: word(), Type: word(), Name: word(), Service: word(),
		IP:      netip.MustParseAddr(g.pick("10.0.0.1", "10.2.3.4", "::1", "192.0.2.1")),
		Actions: slices.DeleteFunc([]string{"*", "pull", "push"}, func(string) bool { return g.IntN(2) == 0 }),
	}
	for _, key := range []string{"l", "m", "other"} {
		if g.IntN(3) == 0 {
			continue
		}
		if q.Labels == nil {
			q.Labels = map[string][]string{}
		}
		q.Labels[key] = []string{}
		for range g.IntN(4) {
			q.Labels[key] = append(q.Labels[key], g.pick("", "a", "b", "a/*", "*", "?", "/a/", "/^a$/", "/", "a[", "${account}", "(", `\`, "b/a/b"))
		}
	}
	return q
}

// TestDecideEqualsOracle compares index, shortcuts and caches with the plainest
// evaluation, and Explain with both.
func TestDecideEqualsOracle(t *testing.T) {
	t.Parallel()
	lists, queries := 150, 100
	if testing.Short() {
		lists = 25
	}
	decided := 0
	for seed := range lists {
		g := newGenerator(uint64(seed))
		rules := g.rules(1 + g.IntN(30))
		a := mustCompile(t, rules...)
		for range queries {
			q := g.query()
			checkDecision(t, a, rules, &q)
			if a.Decide(&q, noon).Rule != nil {
				decided++
			}
		}
	}
	if total := lists * queries; decided < total/4 || decided > total*9/10 {
		t.Errorf("%d of %d queries matched a rule: the generator no longer tests both", decided, total)
	}
}

// TestIndexOfManyRules does so with long lists of rules that the index sorts
// into all its places.
func TestIndexOfManyRules(t *testing.T) {
	t.Parallel()
	g := newGenerator(42)
	deep := func() string {
		return g.pick("a", "b", "c") + g.pick("", "/") + g.pick("", "a", "b", "c") + g.pick("", "/a", "/b", "/c/d")
	}
	for range 20 {
		var rules []store.Rule
		for i := range 300 {
			r := store.Rule{Seq: int64(i), Actions: []string{"*"}}
			if g.IntN(2) == 0 {
				r.Match.Account = new(g.pick("u", "/^u$/", "") + fmt.Sprint(g.IntN(20)))
			}
			switch g.IntN(5) {
			case 0:
				r.Match.Name = new(deep())
			case 1:
				r.Match.Name = new(deep() + "*")
			case 2:
				r.Match.Name = new("/^" + deep() + "/")
			case 3:
				r.Match.Name = new(fmt.Sprintf("${labels:k%d}", g.IntN(10)))
			case 4:
				r.Match.Labels = map[string]string{fmt.Sprintf("k%d", g.IntN(10)): deep()}
			}
			rules = append(rules, r)
		}
		a := mustCompile(t, rules...)
		for range 100 {
			q := Query{Account: fmt.Sprint("u", g.IntN(20)), Name: deep(), Labels: map[string][]string{}}
			for range g.IntN(4) {
				q.Labels[fmt.Sprintf("k%d", g.IntN(10))] = []string{deep(), deep()}
			}
			checkDecision(t, a, rules, &q)
		}
	}
}

func checkDecision(t *testing.T, a *ACL, rules []store.Rule, q *Query) {
	t.Helper()
	d := a.Decide(q, noon)
	want, until := oracleDecide(rules, q, noon)
	if got := a.indexOf(d.Rule); got != want || !d.Until.Equal(until) {
		t.Errorf("query %+v: rule %d until %v, oracle %d until %v", q, got, d.Until, want, until)
		for _, i := range []int{got, want} {
			if i >= 0 {
				t.Errorf("rule %d: %s %+v", i, describe(rules[i].Match), rules[i].Window)
			}
		}
	}
	verdicts := a.Explain(q, noon)
	for i, v := range verdicts {
		if v.Rule != &a.source[i] || v.Matched != (v.Rule == d.Rule) || v.Matched != (v.Reason == "") {
			t.Errorf("query %+v: verdict %d is %+v, Decide says rule %d", q, i, v, a.indexOf(d.Rule))
		}
	}
	if d.Rule == nil && len(verdicts) != len(rules) || d.Rule != nil && len(verdicts) != want+1 {
		t.Errorf("query %+v: %d verdicts of %d rules, rule %d decided", q, len(verdicts), len(rules), want)
	}
}
