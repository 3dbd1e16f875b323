package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

func testEmpty(t *testing.T, db database) {
	s := db.open(t)
	wantState(t, s, store.State{})
	write(t, s, store.Change{})
	write(t, s, store.Change{
		DropUsers: []string{"nobody"}, DropRules: []int64{1}, DropTokens: []string{"none"}, DropRefresh: []string{"none"},
	})
	wantState(t, s, store.State{})
}

func testFields(t *testing.T, db database) {
	s := db.open(t)
	// Records with all fields, and records with none but a key.
	c := full("waldi", 10)
	c.PutUsers = append(c.PutUsers, store.User{Name: "bare"})
	c.PutRules = append(c.PutRules, store.Rule{Seq: 20})
	c.PutTokens = append(c.PutTokens, store.Token{ID: "bare", Hash: []byte{1}})
	c.PutRefresh = append(c.PutRefresh, store.Refresh{ID: "bare", Hash: []byte{1}})
	write(t, s, c)
	wantState(t, s, store.State{}.Apply(c))
}

func testOddNames(t *testing.T, db database) {
	s := db.open(t)
	var state store.State
	names := []string{
		"", " ", "waldi", "Waldi", "waldi ", " waldi", "müller", "mu\u0308ller", "用户", "🐳", "a/b/c", `a\b`, `it's "quoted"`, "`tick`",
		"two\nlines", "tab\there", "nul\x00byte", "$where", "a.b", "%", "_", "*", "null", "0", "<script>&amp;", "\u2028", "\u202ertl",
		"'; DROP TABLE users; --",
	}
	for i, name := range names {
		c := full(name, int64(i))
		write(t, s, c)
		state = state.Apply(c)
	}
	if len(state.Users) != len(names) {
		t.Fatalf("the list has doubles: %d names, %d users", len(names), len(state.Users))
	}
	wantState(t, s, state)
	for _, name := range names {
		c := store.Change{DropUsers: []string{name}, DropTokens: []string{"id-" + name}}
		write(t, s, c)
		state = state.Apply(c)
		wantState(t, s, state)
	}
	for _, seq := range []int64{-1, 0, 1 << 40, -1 << 63, 1<<63 - 1} {
		c := store.Change{PutRules: []store.Rule{{Seq: seq, Comment: fmt.Sprint(seq)}}}
		write(t, s, c)
		state = state.Apply(c)
	}
	wantState(t, s, state)
}

// testMatch: an absent condition and one for the empty text are opposites, so
// a store that confused them would open or close the registry.
func testMatch(t *testing.T, db database) {
	s := db.open(t)
	var c store.Change
	for i, match := range []store.Match{
		{},
		{Account: new("")}, {Type: new("")}, {Name: new("")}, {Service: new("")}, {IP: new("")},
		{Account: new(""), Type: new(""), Name: new(""), Service: new(""), IP: new(""), Labels: map[string]string{"": ""}},
		{Account: new("/^a\\d+$/"), Name: new("${account}/*")},
		{Labels: map[string]string{"group": "", "team": "x"}},
	} {
		c.PutRules = append(c.PutRules, store.Rule{Seq: int64(i), Match: match, Actions: []string{"*"}})
	}
	write(t, s, c)
	wantState(t, s, store.State{}.Apply(c))
}

func testTimes(t *testing.T, db database) {
	s := db.open(t)
	moments := []time.Time{
		{},
		time.Unix(0, 0), // not the zero time
		time.UnixMilli(-1),
		time.UnixMilli(1_800_000_000_001),
		time.Date(2027, 3, 28, 2, 30, 0, 999e6, time.FixedZone("", 3600)),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Now(), // has a monotonic reading and nanoseconds
	}
	given := make(map[string]store.Token)
	var c store.Change
	for i, m := range moments {
		token := store.Token{ID: fmt.Sprint(i), Hash: []byte{1}, Created: m, LastUsed: m, Window: store.Window{NotBefore: m, Expires: m}}
		given[token.ID] = token
		c.PutTokens = append(c.PutTokens, token)
	}
	write(t, s, c)
	got := load(t, s).Tokens
	for i, m := range moments {
		want := m.Truncate(time.Millisecond).UTC()
		token := got[fmt.Sprint(i)]
		for field, moment := range map[string]time.Time{
			"Created": token.Created, "LastUsed": token.LastUsed, "NotBefore": token.NotBefore, "Expires": token.Expires,
		} {
			if !moment.Equal(want) || moment.Location() != time.UTC || moment.IsZero() != m.IsZero() {
				t.Errorf("%s: %v came back as %v, want %v", field, m, moment, want)
			}
		}
	}
}

func testPutReplaceDrop(t *testing.T, db database) {
	s := db.open(t)
	first, second := full("a", 1), full("b", 2)
	state := store.State{}.Apply(first).Apply(second)
	write(t, s, first)
	write(t, s, second)
	wantState(t, s, state)

	// A put replaces the whole record: what is not set is gone.
	bare := store.Change{
		PutUsers: []store.User{{Name: "a"}}, PutRules: []store.Rule{{Seq: 1}},
		PutTokens:  []store.Token{{ID: "id-a", Hash: []byte{2}}},
		PutRefresh: []store.Refresh{{ID: "id-a", Hash: []byte{2}}},
	}
	write(t, s, bare)
	state = state.Apply(bare)
	wantState(t, s, state)

	dropFirst := drop(store.State{}.Apply(first))
	write(t, s, dropFirst)
	state = state.Apply(dropFirst)
	wantState(t, s, state)
	write(t, s, dropFirst)
	wantState(t, s, state)
}

func testDropBeforePut(t *testing.T, db database) {
	s := db.open(t)
	write(t, s, full("a", 1))
	// A rename: the old keys go, and one change may drop and put the same key.
	c := full("a", 1)
	c.PutUsers[0].Comment = "put after the drop"
	d := drop(store.State{}.Apply(c))
	c.DropUsers, c.DropRules, c.DropTokens, c.DropRefresh = d.DropUsers, d.DropRules, d.DropTokens, d.DropRefresh
	write(t, s, c)
	wantState(t, s, store.State{}.Apply(c))
}

func testLastPutWins(t *testing.T, db database) {
	s := db.open(t)
	c := store.Change{PutUsers: []store.User{{Name: "a", Comment: "1"}, {Name: "b"}, {Name: "a", Comment: "2"}}}
	write(t, s, c)
	wantState(t, s, store.State{}.Apply(c))
}

// testNoCascade: records refer to each other by name, which no store enforces.
func testNoCascade(t *testing.T, db database) {
	s := db.open(t)
	c := full("a", 1)
	state := store.State{}.Apply(c)
	write(t, s, c)
	gone := store.Change{
		DropUsers: []string{"a"},
		// Of a user that is not there, and of a name that is taken.
		PutTokens: []store.Token{{ID: "2", User: "nobody", Name: "ci", Hash: []byte{1}}, {ID: "3", User: "nobody", Name: "ci", Hash: []byte{2}}},
	}
	write(t, s, gone)
	wantState(t, s, state.Apply(gone))
}

// testRandomChanges: Apply is what the server believes, Load is what it finds
// after a restart.
func testRandomChanges(t *testing.T, db database) {
	s := db.open(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var state store.State
	for range 150 {
		c := randomChange(random)
		state = state.Apply(c)
		write(t, s, c)
		wantState(t, s, state)
	}
}

// randomChange draws from few keys, so that drops and puts often meet.
func randomChange(random *rand.Rand) store.Change {
	var c store.Change
	key := func() (string, int64) {
		n := random.Int64N(8)
		return fmt.Sprintf("key %d", n), n
	}
	for range random.IntN(6) {
		name, seq := key()
		switch random.IntN(4) {
		case 0:
			c.DropUsers = append(c.DropUsers, name)
		case 1:
			c.DropRules = append(c.DropRules, seq)
		case 2:
			c.DropTokens = append(c.DropTokens, name)
		case 3:
			c.DropRefresh = append(c.DropRefresh, name)
		}
	}
	for range random.IntN(6) {
		name, seq := key()
		record := full(fmt.Sprintf("value %d", random.IntN(1000)), 0)
		switch random.IntN(4) {
		case 0:
			record.PutUsers[0].Name = name
			c.PutUsers = append(c.PutUsers, record.PutUsers...)
		case 1:
			record.PutRules[0].Seq = seq
			c.PutRules = append(c.PutRules, record.PutRules...)
		case 2:
			record.PutTokens[0].ID = name
			c.PutTokens = append(c.PutTokens, record.PutTokens...)
		case 3:
			record.PutRefresh[0].ID = name
			c.PutRefresh = append(c.PutRefresh, record.PutRefresh...)
		}
	}
	return c
}

func testTouch(t *testing.T, db database) {
	s := db.open(t)
	a, b := full("a", 1), full("b", 2)
	write(t, s, a)
	write(t, s, b)
	// Of another id: tokens and refresh tokens are touched alike.
	b.PutRefresh[0].ID = "refresh-b"
	write(t, s, store.Change{DropRefresh: []string{"id-b"}, PutRefresh: b.PutRefresh})
	for _, used := range []map[string]time.Time{
		nil,
		{"unknown": at(time.Hour)},
		{"id-a": at(3*time.Hour + 999_999*time.Nanosecond), "unknown": at(0), "refresh-b": at(4 * time.Hour)},
	} {
		if err := s.Touch(t.Context(), used); err != nil {
			t.Fatalf("Touch(%v): %v", used, err)
		}
	}
	a.PutTokens[0].LastUsed = at(3 * time.Hour)
	a.PutRefresh[0].LastUsed = at(3 * time.Hour)
	b.PutRefresh[0].LastUsed = at(4 * time.Hour)
	wantState(t, s, store.State{}.Apply(a).Apply(b))
}

func testReopen(t *testing.T, db database) {
	var state store.State
	for i := range 3 {
		s := db.openStore(t, db.dir)
		wantState(t, s, state)
		c := full(fmt.Sprint(i), int64(i))
		write(t, s, c)
		state = state.Apply(c)
		appendAudit(t, s, row(i, "waldi", "10.0.0.1", "granted"))
		if err := s.Close(); err != nil {
			t.Fatalf("closing: %v", err)
		}
	}
	s := db.open(t)
	wantState(t, s, state)
	wantAudit(t, s, store.AuditQuery{}, 2, 1, 0)
}
