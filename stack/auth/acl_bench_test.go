package auth

import (
	"fmt"
	"net/netip"
	"testing"

	"regctl/stack/auth/store"
)

// BenchmarkDecide asks for 10,000 users in turn, among ever more rules of the
// common kinds. The time must not grow with the rules.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		rules := []store.Rule{{Match: store.Match{Labels: map[string]string{"role": "admin"}}, Actions: []string{"*"}}}
		for i := len(rules); i < n-2; i++ {
			r := store.Rule{Seq: int64(i), Actions: []string{"pull", "push"}}
			switch i % 5 {
			case 0:
				r.Match = store.Match{Account: new(fmt.Sprintf("user%d", i)), Name: new(fmt.Sprintf("home/%d/*", i))}
			case 1:
				r.Match = store.Match{Labels: map[string]string{"team": fmt.Sprintf("team%d", i)}, Name: new("shared/*")}
			case 2:
				r.Match = store.Match{Name: new(fmt.Sprintf("project%d/*", i)), Account: new("/^ci-/")}
			case 3:
				r.Match = store.Match{Name: new(fmt.Sprintf(`/^legacy%d\/.*$/`, i))}
			case 4:
				r.Match = store.Match{Name: new(fmt.Sprintf("${labels:access%d}", i))}
			}
			rules = append(rules, r)
		}
		rules = append(rules,
			store.Rule{Match: store.Match{Name: new("${labels:full-access}")}, Actions: []string{"*"}},
			store.Rule{Match: store.Match{Name: new("${labels:read-only-access}")}, Actions: []string{"pull"}})
		queries := make([]Query, 10_000)
		for i := range queries {
			at := i * len(rules) / len(queries)
			q := articleQuery(fmt.Sprintf("user%d", at))
			q.Labels["team"] = []string{fmt.Sprintf("team%d", at)}
			switch i % 4 {
			case 0:
				q.Name = fmt.Sprintf("home/%d/app", at)
			case 1:
				q.Name = "shared/app"
			case 2:
				q.Name = fmt.Sprintf("legacy%d/app", at)
			}
			queries[i] = q
		}
		b.Run(fmt.Sprintf("rules=%d", len(rules)), func(b *testing.B) {
			a := mustCompile(b, rules...)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.Decide(&queries[i%len(queries)], noon)
			}
		})
	}
}

func articleQuery(account string) Query {
	return Query{
		Account: account, Type: "repository", Name: "socken-test", Service: "registry",
		IP:      netip.MustParseAddr("192.0.2.7"),
		Labels:  map[string][]string{"full-access": {"test", "socke*"}},
		Actions: []string{"pull", "push"},
	}
}

// BenchmarkDecideOne shows single kinds of rules.
func BenchmarkDecideOne(b *testing.B) {
	ten := make([]string, 10)
	for i := range ten {
		ten[i] = fmt.Sprintf("value%d", i)
	}
	for _, test := range []struct {
		name    string
		matches []store.Match
	}{
		{"article", []store.Match{{Name: new("${labels:full-access}")}, {Name: new("${labels:read-only-access}")}}},
		{"account-glob", []store.Match{{Name: new("${account}/*")}}},
		{"account-regex", []store.Match{{Name: new(`/^${account}\//`)}}},
		{"capture", []store.Match{{Account: new("/^(.+)di$/"), Name: new("${account:1}/*")}}},
		{"two-regexes", []store.Match{{Account: new("/^w/"), Name: new("/^prod/")}}},
		{"label-product", []store.Match{{Name: new("${labels:a}/${labels:b}-${labels:c}")}}},
		{"label-product-regex", []store.Match{{Name: new("/^${labels:a}/${labels:b}-${labels:c}$/")}}},
	} {
		var rules []store.Rule
		for _, m := range test.matches {
			rules = append(rules, store.Rule{Match: m, Actions: []string{"*"}})
		}
		b.Run(test.name, func(b *testing.B) {
			a := mustCompile(b, rules...)
			q := articleQuery("waldi")
			q.Labels["a"], q.Labels["b"], q.Labels["c"] = ten, ten, ten
			b.ReportAllocs()
			for b.Loop() {
				a.Decide(&q, noon)
			}
		})
	}
}

// BenchmarkCompileACL is what a change of rules costs.
func BenchmarkCompileACL(b *testing.B) {
	rules := newGenerator(1).rules(10_000)
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, rules...)
	}
}
