package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	waldi := Query{
		Account: "waldi", Type: "repository", Name: "test-socke", Service: "registry",
		IP: netip.MustParseAddr("192.0.2.7"),
		Labels: map[string][]string{
			"full-access": {"test", "socke*"}, "none": {}, "team": {"a", "b/c"},
			"many": {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"},
		},
	}
	for _, test := range []struct {
		match  store.Match
		window store.Window
		want   string
	}{
		{match: store.Match{Name: new("${labels:full-access}")},
			want: `name "test-socke" does not match ${labels:full-access} (test, socke*)`},
		{match: store.Match{Name: new("${labels:read-only-access}")},
			want: `name "test-socke" does not match ${labels:read-only-access} (label read-only-access is missing)`},
		{match: store.Match{Name: new("${labels:none}")},
			want: `name "test-socke" does not match ${labels:none} (label none has no values)`},
		{match: store.Match{Name: new("${labels:many}")},
			want: `name "test-socke" does not match ${labels:many} (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)`},
		{match: store.Match{Name: new("${labels:team}/${labels:none}/${account}/${account}")},
			want: `name "test-socke" does not match ${labels:team}/${labels:none}/${account}/${account} (team: a, b/c; label none has no values; account "waldi")`},
		{match: store.Match{Account: new("")}, want: `account "waldi" does not match ""`},
		{match: store.Match{Account: new("/^(x)/"), Name: new("${account:1}")},
			want: `account "waldi" does not match /^(x)/; name "test-socke" does not match ${account:1} (${account:1} not found)`},
		{match: store.Match{Account: new("/^(w)/"), Name: new("${account:1}")},
			want: `name "test-socke" does not match ${account:1} (${account:1} "w")`},
		{match: store.Match{Type: new("registry"), Service: new("other")},
			want: `type "repository" does not match registry; service "registry" does not match other`},
		{match: store.Match{IP: new("10.0.0.0/8")}, want: "address 192.0.2.7 is not in 10.0.0.0/8"},
		{match: store.Match{Labels: map[string]string{"admin": "*"}}, want: "label admin is missing"},
		{match: store.Match{Labels: map[string]string{"none": "*"}}, want: "label none has no values"},
		{match: store.Match{Labels: map[string]string{"team": "${account}"}},
			want: `no value of label team (a, b/c) matches ${account} (account "waldi")`},
		{match: store.Match{Labels: map[string]string{"team": "b*"}},
			want: `no value of label team (a, b/c) matches b*, because * and ? do not match "/"`},
		{window: store.Window{Expires: noon.Add(-time.Hour)}, want: "expired 2026-10-01T11:00:00Z"},
		{window: store.Window{NotBefore: noon.Add(time.Hour)}, want: "begins 2026-10-01T13:00:00Z"},
		{match: store.Match{Account: new("bob")}, window: store.Window{NotBefore: noon.Add(time.Hour)},
			want: `begins 2026-10-01T13:00:00Z; account "waldi" does not match bob`},
	} {
		a := mustCompile(t, store.Rule{Match: test.match, Window: test.window, Actions: []string{}}, store.Rule{Actions: []string{}}, store.Rule{Actions: []string{}})
		verdicts := a.Explain(&waldi, noon)
		if got := fmt.Sprint(len(verdicts), verdicts[0].Matched, verdicts[1].Matched); got != "2 false true" {
			t.Errorf("%s: got %s", describe(test.match), got)
		}
		if got := verdicts[0].Reason; got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestExplainSlash is about the hint that most people need.
func TestExplainSlash(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, name string
		labels        map[string][]string
		hint          bool
	}{
		{"*", "a/b", nil, true},
		{"a/*", "a/b/c", nil, true},
		{"a?b", "a/b", nil, true},
		{"a/*", "b/c/d", nil, false},
		{"${account}/*", "waldi/b/c", nil, true},
		{"${account}/*", "bob/b/c", nil, false},
		{"${labels:l}", "x/y/z", map[string][]string{"l": {"no", "x/*"}}, true},
		{"${labels:l}", "x/y/z", map[string][]string{"l": {"/q/"}}, false},
		{"/^.$/", "a/b", nil, false},
		{"a/b", "a/c", nil, false},
	} {
		a := mustCompile(t, store.Rule{Match: store.Match{Name: &test.pattern}, Actions: []string{}})
		v := a.Explain(&Query{Account: "waldi", Name: test.name, Labels: test.labels}, noon)
		const hint = `, because * and ? do not match "/"`
		reason := v[0].Reason
		if got := len(reason) > len(hint) && reason[len(reason)-len(hint):] == hint; v[0].Matched || got != test.hint {
			t.Errorf("%s, %s: %+v", test.pattern, test.name, v[0])
		}
	}
}
