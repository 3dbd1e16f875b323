package auth

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

var noon = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

func mustCompile(t testing.TB, rules ...store.Rule) *ACL {
	t.Helper()
	a, err := CompileACL(rules)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestMatching holds the vectors of the reference; a row that differs on
// purpose names the quirk.
func TestMatching(t *testing.T) {
	t.Parallel()
	account := func(p string) store.Match { return store.Match{Account: &p} }
	name := func(p string) store.Match { return store.Match{Name: &p} }
	ip := func(p string) store.Match { return store.Match{IP: &p} }
	labels := func(kv ...string) store.Match {
		m := store.Match{Labels: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			m.Labels[kv[i]] = kv[i+1]
		}
		return m
	}
	both := func(account, name string) store.Match { return store.Match{Account: &account, Name: &name} }
	type l = map[string][]string
	from := func(addr string) Query { return Query{IP: netip.MustParseAddr(addr).Unmap()} }

	for _, test := range []struct {
		match store.Match
		query Query
		want  bool
	}{
		{name("foo/*"), Query{Name: "foo/a"}, true},
		{name("foo/*"), Query{Name: "foo/"}, true},
		{name("foo/*"), Query{Name: "foo/a/b"}, false},
		{name("foo/**"), Query{Name: "foo/a/b"}, false},
		{name("foo/**"), Query{Name: "foo/a"}, true},
		{name("*"), Query{Name: "a/b"}, false},
		{name("a?b"), Query{Name: "a/b"}, false},
		{name("a?b"), Query{Name: "axb"}, true},
		{name("[^a]x"), Query{Name: "/x"}, true},
		{name("[!a]x"), Query{Name: "ax"}, true},
		{name("[!a]x"), Query{Name: "bx"}, false},
		{name("{a,b}"), Query{Name: "a"}, false},
		{name("Foo"), Query{Name: "foo"}, false},
		{name("/oo/"), Query{Name: "foobar"}, true},
		{name("//"), Query{Name: "//"}, true},
		{name("//"), Query{Name: "abc"}, false},
		{name("/foo/"), Query{Name: "xfoox"}, true},
		{account("/.+/"), Query{}, false},
		{account("/.*/"), Query{}, true},
		{account("*"), Query{}, true},
		{account(""), Query{Account: "foo"}, false},
		{account(""), Query{}, true},
		{account("/^admin$/"), Query{Account: "admin\n"}, false},
		{account("/^admin$/"), Query{Account: "admin"}, true},
		{account(`a\*b`), Query{Account: "a*b"}, true},
		{account(`a\*b`), Query{Account: "axb"}, false},
		{account("/ADMIN/"), Query{Account: "admin"}, false},
		{account("/(?i)ADMIN/"), Query{Account: "admin"}, true},
		{account("/^a.b$/"), Query{Account: "a\nb"}, false},

		{name("${account}/*"), Query{Account: "j.doe", Name: "j.doe/x"}, true},
		{name("${account}/*"), Query{Account: "j.doe", Name: "jxdoe/x"}, false},
		{name("${account}/*"), Query{Account: "*", Name: "bob/x"}, false},
		{name("${account}/*"), Query{Account: "[ab]", Name: "a/x"}, false},
		{name("${account}/*"), Query{Name: "/x"}, true},
		{name("/^${account}$/"), Query{Account: "j.doe", Name: "j.doe"}, true},
		{name("/^${account}$/"), Query{Account: "j.doe", Name: "jxdoe"}, false},
		{name("[${account}]"), Query{Account: "a-c", Name: "b"}, false},
		{name("${account}"), Query{Account: "/a/", Name: "xxaxx"}, false}, // Q47: no mode switch
		{name("${account}"), Query{Account: "/a/", Name: "/a/"}, true},
		{name("${account}b/"), Query{Account: "/", Name: "b"}, false},
		{name("/${account}/"), Query{Name: "//"}, true}, // nothing between the slashes: a literal
		{name("/${account}/"), Query{Name: "bob"}, false},
		{both(`/^(.+)@test\.com$/`, `/^${account:1}\//`), Query{Account: ".*@test.com", Name: "bob/x"}, false}, // Q45
		{both(`/^(.+)@test\.com$/`, `/^${account:1}\//`), Query{Account: "bob@test.com", Name: "bob/x"}, true},
		{both(`/^(.+)@test\.com$/`, `${account:1}/*`), Query{Account: "*@test.com", Name: "bob/x"}, false}, // Q45
		{both(`/^(.+)@test\.com$/`, `${account:1}/*`), Query{Account: "bob@test.com", Name: "bob/x"}, true},
		{both("/^(.+)$/", "${type}/${account:1}"), Query{Account: "a", Type: "t", Name: "t/a"}, true}, // Q46
		{both("/^(.+)$/", "${account:1}/${type}"), Query{Account: "a", Type: "t", Name: "a/t"}, true},
		{both("/^(.+)$/", "${labels:g}/${account:1}"), Query{Account: "a", Name: "x/a", Labels: l{"g": {"x"}}}, true}, // Q46
		{both("/^(.+)$/", "${account:1}/${labels:g}"), Query{Account: "a", Name: "a/x", Labels: l{"g": {"x"}}}, true},
		{both("/^(.+)$/", "${Account:1}"), Query{Account: "a", Name: "a"}, true},
		{both("/^(.+)$/", "${account:0}"), Query{Account: "a", Name: "a"}, false},
		{both("/^(.+)$/", "${account:2}"), Query{Account: "a", Name: "a"}, false},
		{both("/^(.+)$/", "${account:2}"), Query{Account: "a", Name: "${account:2}"}, true},
		{both("/^(x)?a$/", "<${account:1}>"), Query{Account: "a", Name: "<>"}, true},
		{both("a*", "${account:1}"), Query{Account: "a", Name: "a"}, false},
		{both("/^${labels:u}(.)$/", "${account:1}"), Query{Account: "ab", Name: "b", Labels: l{"u": {"a"}}}, false},
		{both("${name:1}", `/^(.+)\/.*$/`), Query{Account: "j", Name: "j/x"}, true},
		{store.Match{Account: new("/^(.+)$/"), Labels: map[string]string{"own": "${account:1}"}},
			Query{Account: "a", Labels: l{"own": {"a"}}}, true}, // Q46: anywhere

		{labels("own", "${account}"), Query{Account: "a.b", Labels: l{"own": {"a.b"}}}, true},
		{labels("own", "${account}"), Query{Account: "a.b", Labels: l{"own": {"axb"}}}, false},
		{labels("own", "${labels:x}"), Query{Labels: l{"own": {"v"}, "x": {"v"}}}, false},
		{labels("g", "*"), Query{Labels: l{"g": {}}}, false},
		{labels("g", "*"), Query{Labels: l{"g": {"x/y"}}}, false},
		{labels("g", "*"), Query{Labels: l{"G": {"x"}}}, false},
		{labels("g", "*"), Query{Labels: l{"g": {"x/y", "z"}}}, true},
		{labels("g", "a", "h", "b"), Query{Labels: l{"g": {"a"}, "h": {"b"}}}, true},
		{labels("g", "a", "h", "b"), Query{Labels: l{"g": {"a"}}}, false},
		{labels("g", "/(a|b)/"), Query{Labels: l{"g": {"x", "b"}}}, true},
		{labels("g", ""), Query{Labels: l{"g": {""}}}, true},

		{name("${labels:full}"), Query{Name: "x/y", Labels: l{"full": {"x/*"}}}, true},
		{name("${labels:full}"), Query{Name: "abc/def/ghi", Labels: l{"full": {"/def/"}}}, true},
		{name("${labels:full}"), Query{Name: "x", Labels: l{"full": {"a["}}}, false},
		{name("${labels:full}"), Query{Name: "x", Labels: l{"full": {}}}, false},
		{name("${labels:full}"), Query{Name: "x"}, false},
		{name("/${labels:full}/"), Query{Name: "x(", Labels: l{"full": {"("}}}, false},
		{name("/^pub$|^${labels:full}$/"), Query{Name: "pub"}, true},
		{name("/^pub$|^${labels:full}$/"), Query{Name: "pub", Labels: l{"full": {}}}, true}, // plain first
		{name("${labels:g}/x"), Query{Name: "${labels:g}/x", Labels: l{"g": {"a"}}}, true},
		{name("${account}/${labels:g}"), Query{Account: "bob", Name: "bob/${labels:g}"}, true},
		{name("${labels:${account}"), Query{Account: "bob", Name: "${labels:bob"}, true},
		{name("${labels:g}/${labels:g}"), Query{Name: "a/a", Labels: l{"g": {"a", "b"}}}, true},
		{name("${labels:g}/${labels:g}"), Query{Name: "b/b", Labels: l{"g": {"a", "b"}}}, true},
		{name("${labels:g}/${labels:g}"), Query{Name: "a/b", Labels: l{"g": {"a", "b"}}}, false},
		{name("${labels:g}/${labels:h}"), Query{Name: "a/b", Labels: l{"g": {"a"}, "h": {}}}, false},
		{name("${labels:g}/${labels:h}"), Query{Name: "a/${labels:h}", Labels: l{"g": {"a"}}}, true},
		{both("${labels:u}", "${labels:u}"), Query{Account: "a", Name: "b", Labels: l{"u": {"a", "b"}}}, true},
		{name("${labels:g}"), Query{Account: "bob", Name: "bob", Labels: l{"g": {"${account}"}}}, false},
		{name("${labels:s}x${labels:s}"), Query{Name: "axb", Labels: l{"s": {"/"}}}, true}, // Q47: labels may
		{name("${labels:s}${account}/"), Query{Account: "x", Name: "axb", Labels: l{"s": {"/"}}}, true},
		{name("${labels:e}${account}/"), Query{Account: "/x", Name: "axb", Labels: l{"e": {""}}}, false}, // Q47
		{name("${labels:e}${account}/"), Query{Account: "/x", Name: "/x/", Labels: l{"e": {""}}}, true},
		{name("${labels:project}/${labels:group}-${labels:tier}"), Query{Name: "website/webdev-backend", Labels: l{
			"group": {"web", "webdev"}, "project": {"website", "api"}, "tier": {"frontend", "backend"}}}, true},

		{name("${ip}"), from("1.2.3.4"), false},
		{name("${ip}"), Query{Name: "${ip}"}, true},
		{name(`\${account}`), Query{Account: "bob", Name: "${account}"}, true},
		{name(`\${account}`), Query{Account: "bob", Name: "bob"}, false},
		{ip("10.0.0.0/8"), from("::ffff:10.1.1.1"), true},
		{ip("10.0.0.0/8"), Query{IP: netip.MustParseAddr("::ffff:10.1.1.1")}, true},
		{ip("10.1.2.3/8"), from("10.9.9.9"), true},
		{ip("10.0.0.0/8"), from("11.1.1.1"), false},
		{ip("10.0.0.1"), from("10.0.0.1"), true},
		{ip("10.0.0.1"), from("10.0.0.2"), false},
		{ip("10.0.0.1"), Query{}, false},
		{ip("::ffff:10.1.1.1"), from("10.1.1.1"), true},
		{ip("::ffff:10.0.0.0/104"), from("10.1.1.1"), true},
		{ip("::ffff:10.0.0.0/104"), from("11.1.1.1"), false},
		{ip("::ffff:0:0/96"), from("11.1.1.1"), true},
		{ip("::/0"), from("10.1.1.1"), false},
		{ip("::/0"), from("2001:db8::1"), true},
		{ip("0.0.0.0/0"), from("2001:db8::1"), false},
		{ip("fe80::/10"), from("fe80::1%eth0"), true},

		{store.Match{}, Query{Account: "any", Name: "a/b"}, true},
		{store.Match{Service: new("s*")}, Query{Service: "srv"}, true},
		{store.Match{Service: new("s*")}, Query{Service: "x"}, false},
		{store.Match{Type: new("registry"), Name: new("catalog")}, Query{Type: "registry", Name: "catalog"}, true},
		{store.Match{Type: new("registry"), Name: new("catalog")}, Query{Type: "repository", Name: "catalog"}, false},
	} {
		d := mustCompile(t, store.Rule{Match: test.match, Actions: []string{}}).Decide(&test.query, noon)
		if got := d.Rule != nil; got != test.want {
			t.Errorf("match %s, query %+v: %v, want %v", describe(test.match), test.query, got, test.want)
		}
		if got := oracleMatch(test.match, &test.query); got != test.want && test.query.IP.Zone() == "" {
			t.Errorf("match %s, query %+v: the oracle says %v, want %v", describe(test.match), test.query, got, test.want)
		}
	}
}

func describe(m store.Match) string {
	var b strings.Builder
	for _, f := range []struct {
		name string
		p    *string
	}{{"account", m.Account}, {"type", m.Type}, {"name", m.Name}, {"service", m.Service}, {"ip", m.IP}} {
		if f.p != nil {
			b.WriteString(f.name + "=" + *f.p + " ")
		}
	}
	for k, v := range m.Labels {
		b.WriteString("labels." + k + "=" + v + " ")
	}
	return b.String()
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	some := []string{"pull"}
	for _, test := range []struct {
		rule store.Rule
		msg  string
	}{
		{store.Rule{}, "missing actions (an empty list denies)"}, // Q21
		{store.Rule{Match: store.Match{Account: new("/foo?*/")}, Actions: some},
			"invalid match conditions: invalid pattern \"/foo?*/\": invalid regex pattern: error parsing regexp: invalid nested repetition operator: `?*`"},
		{store.Rule{Match: store.Match{Type: new("/(/")}, Actions: some},
			"invalid match conditions: invalid pattern \"/(/\": invalid regex pattern: error parsing regexp: missing closing ): `(`"},
		{store.Rule{Match: store.Match{Name: new("a[")}, Actions: some},
			`invalid match conditions: invalid pattern "a[": invalid glob pattern: syntax error in pattern`},
		{store.Rule{Match: store.Match{Service: new(`a\`)}, Actions: some},
			`invalid match conditions: invalid pattern "a\\": invalid glob pattern: syntax error in pattern`},
		{store.Rule{Match: store.Match{Name: new("${account}/[]")}, Actions: some},
			`invalid match conditions: invalid pattern "${account}/[]": invalid glob pattern: syntax error in pattern`},
		{store.Rule{Match: store.Match{Labels: map[string]string{"ok": "x", "team": "/[/"}}, Actions: some},
			"invalid match conditions: invalid match pattern \"/[/\" for label team: invalid regex pattern: error parsing regexp: missing closing ]: `[`"},
		{store.Rule{Match: store.Match{IP: new("192.168.0.*")}, Actions: some},
			"invalid match conditions: invalid IP pattern: invalid CIDR address: 192.168.0.*"},
		{store.Rule{Match: store.Match{IP: new("192.168.0.1/100")}, Actions: some},
			"invalid match conditions: invalid IP pattern: invalid CIDR address: 192.168.0.1/100"},
		{store.Rule{Match: store.Match{IP: new("fe80::1%eth0")}, Actions: some},
			"invalid match conditions: invalid IP pattern: invalid CIDR address: fe80::1%eth0"},
		{store.Rule{Match: store.Match{IP: new("")}, Actions: some},
			"invalid match conditions: invalid IP pattern: invalid CIDR address: "},
	} {
		test.rule.Seq = 70
		_, err := CompileACL([]store.Rule{{Actions: some}, test.rule})
		e, ok := errors.AsType[*RuleError](err)
		if !ok || e.Msg != test.msg || e.Index != 1 || e.Seq != 70 {
			t.Errorf("%s: got %+v\nwant %s", describe(test.rule.Match), err, test.msg)
			continue
		}
		if want := "rule 70: " + test.msg; err.Error() != want {
			t.Errorf("got %s\nwant %s", err, want)
		}
	}
}

// TestIgnoreBadGlobs: docker_auth accepts them and never matches.
func TestIgnoreBadGlobs(t *testing.T) {
	t.Parallel()
	for _, glob := range []string{"a[", `a\`, "[]", "${account}["} {
		a, err := CompileACL([]store.Rule{{Match: store.Match{Name: &glob}, Actions: []string{"*"}}}, IgnoreBadGlobs)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{glob, "a", `a\`, "a[", "["} {
			if d := a.Decide(&Query{Name: name}, noon); d.Rule != nil {
				t.Errorf("%s matches %s", glob, name)
			}
		}
	}
	if _, err := CompileACL([]store.Rule{{Match: store.Match{Name: new("/(/")}, Actions: []string{}}}, IgnoreBadGlobs); err == nil {
		t.Error("a malformed regular expression is accepted")
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ rule, asked, want []string }{
		{[]string{"*"}, []string{"pull", "pull", "push"}, []string{"pull", "pull", "push"}},
		{[]string{"*"}, []string{"*"}, []string{"*"}},
		{[]string{"*"}, []string{""}, []string{""}},
		{[]string{"*"}, nil, nil},
		{[]string{"push", "pull"}, []string{"pull", "pull", "push"}, []string{"pull", "push"}},
		{[]string{"pull"}, []string{"pull", "push"}, []string{"pull"}},
		{[]string{"pull"}, []string{"delete", "push"}, nil},
		{[]string{"pull"}, []string{""}, nil},
		{[]string{"pull"}, []string{"*"}, nil},
		{[]string{"*", "pull"}, []string{"push"}, nil},
		{[]string{"*", "pull"}, []string{"*", "pull"}, []string{"*", "pull"}},
		{[]string{}, []string{"pull"}, nil},
		{[]string{"made-up"}, []string{"made-up"}, []string{"made-up"}},
	} {
		a := mustCompile(t, store.Rule{Actions: test.rule}, store.Rule{Actions: []string{"*"}})
		asked := slices.Clone(test.asked)
		d := a.Decide(&Query{Actions: asked}, noon)
		if d.Rule != &a.source[0] || !slices.Equal(d.Actions, test.want) {
			t.Errorf("rule %q, asked %q: got %q by %v, want %q by the first", test.rule, test.asked, d.Actions, d.Rule, test.want)
		}
		if !slices.Equal(asked, test.asked) {
			t.Errorf("the question %q became %q", test.asked, asked)
		}
	}
	if d := mustCompile(t).Decide(&Query{Actions: []string{"pull"}}, noon); d.Rule != nil || len(d.Actions) != 0 {
		t.Errorf("an empty list grants %+v", d)
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	rule := func(name string, from, to time.Time) store.Rule {
		return store.Rule{Match: store.Match{Name: &name}, Actions: []string{"*"}, Window: store.Window{NotBefore: from, Expires: to}}
	}
	var never time.Time
	for _, test := range []struct {
		title string
		rules []store.Rule
		want  int
		until time.Time
	}{
		{"no dates", []store.Rule{rule("x", never, never)}, 0, never},
		{"ends later", []store.Rule{rule("x", never, hour(2))}, 0, hour(2)},
		{"ended", []store.Rule{rule("x", never, hour(-1)), rule("x", never, never)}, 1, never},
		{"ends now", []store.Rule{rule("x", never, noon), rule("x", never, never)}, 1, never},
		{"begins now", []store.Rule{rule("x", noon, never)}, 0, never},
		{"an earlier rule begins", []store.Rule{rule("x", hour(1), never), rule("x", never, never)}, 1, hour(1)},
		{"two begin", []store.Rule{rule("x", hour(3), never), rule("*", hour(2), never), rule("x", never, hour(4))}, 2, hour(2)},
		{"ends before another begins", []store.Rule{rule("x", hour(3), never), rule("x", never, hour(2))}, 1, hour(2)},
		{"begins elsewhere", []store.Rule{rule("y", hour(1), never), rule("x", never, never)}, 1, never},
		{"a later rule begins", []store.Rule{rule("x", never, never), rule("x", hour(1), never)}, 0, never},
		{"never holds", []store.Rule{rule("x", hour(2), hour(1)), rule("x", never, never)}, 1, never},
		{"only to come", []store.Rule{rule("x", hour(1), never)}, -1, hour(1)},
	} {
		a := mustCompile(t, test.rules...)
		d := a.Decide(&Query{Name: "x"}, noon)
		if got := a.indexOf(d.Rule); got != test.want || !d.Until.Equal(test.until) {
			t.Errorf("%s: rule %d until %v, want rule %d until %v", test.title, got, d.Until, test.want, test.until)
		}
	}
}

// indexOf returns the place of a rule in the list, -1 for nil.
func (a *ACL) indexOf(r *store.Rule) int {
	for i := range a.source {
		if &a.source[i] == r {
			return i
		}
	}
	return -1
}

// TestLabelLimit tries too many combinations: no endless search, and a denial.
func TestLabelLimit(t *testing.T) {
	t.Parallel()
	many := make([]string, 200)
	for i := range many {
		many[i] = "*" // no prefix to give up early by
	}
	q := Query{Name: "x-y", Labels: map[string][]string{"a": many, "b": append(many, "y")}}
	a := mustCompile(t, store.Rule{Match: store.Match{Name: new("${labels:a}?${labels:b}z")}, Actions: []string{"*"}},
		store.Rule{Match: store.Match{Name: new("${labels:a}-${labels:b}")}, Actions: []string{"*"}})
	q.Actions = []string{"pull"}
	if d := a.Decide(&q, noon); a.indexOf(d.Rule) != 0 || !d.Limited || len(d.Actions) > 0 {
		t.Errorf("%+v", d)
	}
	if v := a.Explain(&q, noon); len(v) != 1 || !v[0].Matched || !strings.HasPrefix(v[0].Reason, "denies, because") {
		t.Errorf("%+v", v)
	}
	other := mustCompile(t, store.Rule{Match: store.Match{Name: new("${labels:a}?${labels:b}z"), Labels: map[string]string{"a": "q"}}, Actions: []string{}},
		store.Rule{Actions: []string{"*"}})
	if d := other.Decide(&q, noon); other.indexOf(d.Rule) != 1 || d.Limited {
		t.Errorf("another condition fails, and yet %+v", d)
	}
	q.Labels["a"] = slices.Repeat([]string{"q"}, maxTries)
	if d := a.Decide(&q, noon); d.Rule != nil {
		t.Errorf("decided by %v", d.Rule)
	}
	q.Labels["a"] = append(slices.Repeat([]string{"q"}, maxTries-1), "x")
	if d := a.Decide(&q, noon); !d.Limited {
		t.Error("the value after the last try is used")
	}
	q.Labels["a"] = append(slices.Repeat([]string{"q"}, 300), "x")
	q.Labels["b"] = append(slices.Repeat([]string{"q"}, 300), "y")
	if d := a.Decide(&q, noon); a.indexOf(d.Rule) != 1 {
		t.Errorf("300 × 300 literal values: decided by %v", d.Rule)
	}
}

// TestRegexLimit: a client cannot make the server compile what it likes.
func TestRegexLimit(t *testing.T) {
	t.Parallel()
	a := mustCompile(t, store.Rule{Match: store.Match{Name: new("/^${account}$/")}, Actions: []string{"*"}})
	for _, test := range []struct {
		size int
		want bool
	}{{10, true}, {maxCachedText + 1, true}, {maxRegexText - 2, true}, {maxRegexText - 1, false}} {
		long := strings.Repeat("x", test.size)
		if d := a.Decide(&Query{Account: long, Name: long}, noon); d.Rule == nil || d.Limited == test.want {
			t.Errorf("%d bytes: %+v", test.size, d)
		}
	}
	if n := a.cache.compiled.Len(); n != 1 {
		t.Errorf("%d regular expressions are kept, want the short one", n)
	}
	for i := range maxCached + 10 {
		a.Decide(&Query{Account: strings.Repeat("y", i%100) + strings.Repeat("z", i/100)}, noon)
	}
	if n := a.cache.compiled.Len(); n != maxCached {
		t.Errorf("%d regular expressions are kept, want %d", n, maxCached)
	}
}

// TestRegexPrefix: the index may only rely on what every match begins with.
func TestRegexPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, literal string
		whole         bool
	}{
		{`/^prod\/.*$/`, "prod/", false},
		{`/^prod$/`, "prod", true},
		{`/^prod\z/`, "prod", true},
		{`/^ab*/`, "a", false},
		{`/^ab?$/`, "a", false},
		{"/prod/", "", false},
		{"/.b/", "", false},
		{"/^a|b/", "", false},
		{"/(?i)^a/", "", false},
		{"/^(?i)a$/", "", false},
		{"/(?m)^a/", "", false},
		{"/(?m)^a$/", "", false},
		{"/\\Aa(?m)$/", "a", false},
		{"/^\xef\xbf\xbd/", "", false}, // U+FFFD matches any invalid byte
		{"/^^a/", "", false},
		{"/^$/", "", false},
	} {
		if literal, whole := regexPrefix(test.text); literal != test.literal || whole != test.whole {
			t.Errorf("%s: %q, %v, want %q, %v", test.text, literal, whole, test.literal, test.whole)
		}
	}
}

// TestConcurrent asks one list from several goroutines (for -race).
func TestConcurrent(t *testing.T) {
	t.Parallel()
	g := newGenerator(7)
	a := mustCompile(t, g.rules(200)...)
	queries := make([]Query, 500)
	want := make([]Decision, len(queries))
	for i := range queries {
		queries[i] = g.query()
		want[i] = a.Decide(&queries[i], noon)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range queries {
				if got := a.Decide(&queries[i], noon); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("query %+v: %+v, alone %+v", queries[i], got, want[i])
				}
			}
		})
	}
	wg.Wait()
}
