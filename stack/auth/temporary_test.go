package auth

import (
	"strings"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// A rule below 0 that expires comes before the configuration's, also before one
// that decides everything, and only as long as it holds.
func TestTemporaryRules(t *testing.T) {
	t.Parallel()
	cfg := vectorConfig()
	cfg.ACL = []store.Rule{{Match: store.Match{}, Actions: []string{}}}
	s, clock := newTestServer(t, cfg, openTestStore(t))
	a := &admin{Server: s}
	seq := func(n int64) *int64 { return &n }
	match := store.Match{Account: ptr("alice"), Name: ptr("tmp")}
	ends := store.Window{Expires: clock.now().Add(time.Minute)}

	for n, window := range map[int64]store.Window{-1: {}, -maxSeq - 1: ends, maxSeq + 1: ends} {
		_, err := a.addRule(t.Context(), NewRule{Seq: seq(n), Match: match, Actions: []string{"pull"}, Window: window})
		if kind(t, err) != KindUsage || !strings.Contains(err.Error(), "want a number from 0 to") {
			t.Errorf("seq %d, %+v: %v", n, window, err)
		}
	}
	// What an editor of the database may have put there is a rule like others.
	change(t, s, store.Change{PutRules: []store.Rule{{Seq: -9, Match: match, Actions: []string{"delete"}}}})
	if _, err := a.addRule(t.Context(), NewRule{Seq: seq(-7), Match: match, Actions: []string{"pull"}, Window: ends}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.setRule(t.Context(), RuleEdit{Seq: -7, Clear: []string{"expires"}}); kind(t, err) != KindUsage {
		t.Errorf("a rule before all others was made to last: %v", err)
	}
	rules, err := a.listRules(t.Context(), nothing{})
	if err != nil || len(rules) != 3 || rules[0].Seq != -7 || rules[1].Source != SourceConfig || rules[2].Seq != -9 {
		t.Errorf("the list: %+v, %v", rules, err)
	}
	granted := func() string {
		t.Helper()
		result, err := a.testRules(t.Context(), RuleTest{User: "alice", Name: "tmp", Actions: []string{"pull"}})
		if err != nil {
			t.Fatal(err)
		}
		_, c := exchange(t, s, basic(get("service=s&scope=repository:tmp:pull"), "alice", "secret"))
		if got := strings.Join(c.Access[0].Actions, ","); got != strings.Join(result.Granted, ",") {
			t.Errorf("a token for %q, and acl test says %q", got, result.Granted)
		}
		return strings.Join(result.Granted, ",")
	}
	if got := granted(); got != "pull" {
		t.Errorf("granted %q", got)
	}
	if clock.advance(time.Minute); granted() != "" {
		t.Error("granted after the end")
	}
	if _, err := a.moveRule(t.Context(), RuleMove{From: -9, To: -8}); kind(t, err) != KindUsage {
		t.Errorf("a lasting rule was moved to the front: %v", err)
	}
	if r, err := a.addRule(t.Context(), NewRule{Match: match, Actions: []string{"pull"}}); err != nil || r.Seq != seqStep {
		t.Errorf("a rule that comes last has %d, %v", r.Seq, err)
	}
}
