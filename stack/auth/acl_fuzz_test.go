package auth

import (
	"errors"
	"path"
	"regexp"
	"strings"
	"testing"

	"regctl/stack/auth/store"
)

// FuzzCompileRule: every fault is a *RuleError, and what compiles can decide.
func FuzzCompileRule(f *testing.F) {
	f.Add("a*", "repository", "${account}/*", "", "10.0.0.0/8", "g", "/^a/")
	f.Add("/^(.+)@x$/", "", "${account:1}/${labels:g}", "s", "::1", "", "${name}")
	f.Add("/(/", "a[", `\`, "${", "x", "}", "${labels:}")
	f.Fuzz(func(t *testing.T, account, typ, name, service, ip, key, label string) {
		r := store.Rule{Seq: 5, Actions: []string{"*"}, Match: store.Match{
			Account: &account, Type: &typ, Name: &name, Service: &service, IP: &ip, Labels: map[string]string{key: label}}}
		for _, without := range []bool{false, true} {
			if without {
				r.Match.IP = nil // seldom valid
			}
			a, err := CompileACL([]store.Rule{r})
			if err != nil {
				e, ok := errors.AsType[*RuleError](err)
				if !ok || e.Seq != 5 || !strings.HasPrefix(e.Msg, "invalid match conditions: ") {
					t.Fatalf("error %v", err)
				}
				continue
			}
			q := Query{Account: account, Type: typ, Name: name, Service: service, Labels: map[string][]string{key: {label}}}
			matched := a.Decide(&q, noon).Rule != nil
			if v := a.Explain(&q, noon); len(v) != 1 || v[0].Matched != matched {
				t.Fatalf("Decide matched: %v, Explain: %+v", matched, v)
			}
		}
	})
}

// FuzzMatch: a pattern without placeholders means what package path or regexp
// says that it means.
func FuzzMatch(f *testing.F) {
	f.Add("foo/*", "foo/a")
	f.Add("[^a]x", "/x")
	f.Add(`a\*b[c-d]?`, "a*bce")
	f.Add("/^a|b$/", "xb")
	f.Add("/^a$/", "a")
	f.Add("/^\xef\xbf\xbd/", "\xff")
	f.Add("//", "//")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.Contains(pattern, "${") {
			return
		}
		var want bool
		var bad error
		if len(pattern) > 2 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
			want, bad = regexp.MatchString(pattern[1:len(pattern)-1], text)
		} else {
			want, bad = path.Match(pattern, text)
		}
		for _, m := range []store.Match{{Name: &pattern}, {Account: &pattern}, {Labels: map[string]string{"k": pattern}}} {
			a, err := CompileACL([]store.Rule{{Match: m, Actions: []string{}}})
			if (err != nil) != (bad != nil) {
				t.Fatalf("%s: error %v, want %v", describe(m), err, bad)
			}
			if err != nil {
				continue
			}
			q := Query{Name: text, Account: text, Labels: map[string][]string{"k": {text}}}
			if got := a.Decide(&q, noon).Rule != nil; got != want {
				t.Fatalf("%s matches %q: %v, want %v", describe(m), text, got, want)
			}
		}
	})
}

// FuzzLabelExpansion: filling in placeholders piece by piece, giving up early,
// means the same as trying every combination.
func FuzzLabelExpansion(f *testing.F) {
	f.Add("${labels:l}", "test", "socke*", "x", "waldi", "socken")
	f.Add("${labels:l}/${labels:m}-${account}", "a", "b", "c", "d", "b/c-d")
	f.Add("/${labels:l}${account}${labels:m}/", "(", "a|", "[x", "]", "a")
	f.Add("${labels:l}${account}${labels:m}", "/", `\`, "/", "/x/", "/x/")
	f.Fuzz(func(t *testing.T, pattern, l1, l2, m1, account, name string) {
		m := store.Match{Name: &pattern, Account: new("/^(.?)(.*)$/")}
		a, err := CompileACL([]store.Rule{{Match: m, Actions: []string{}}})
		if err != nil {
			return
		}
		q := Query{Account: account, Name: name, Labels: map[string][]string{"l": {l1, l2}, "m": {m1}}}
		d, want := a.Decide(&q, noon), oracleMatch(m, &q)
		if got := d.Rule != nil; got != want && !d.Limited {
			t.Fatalf("pattern %q, query %+v: %v, oracle %v", pattern, q, got, want)
		}
	})
}
