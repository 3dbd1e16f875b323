package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// row is the audit row of second n, whose record is n.
func row(n int, account, client, outcome string) store.AuditRow {
	return store.AuditRow{
		Time: at(time.Duration(n) * time.Second), Account: account, Client: client, Outcome: outcome,
		Record: json.RawMessage(fmt.Sprint(n)),
	}
}

func appendAudit(t *testing.T, s store.Store, rows ...store.AuditRow) {
	t.Helper()
	if err := s.AppendAudit(t.Context(), rows); err != nil {
		t.Fatalf("AppendAudit: %v", err)
	}
}

// wantAudit fails the test unless the rows that fit q have the records want.
func wantAudit(t *testing.T, s store.Store, q store.AuditQuery, want ...int) {
	t.Helper()
	var got []int
	for _, r := range searchAudit(t, s, q) {
		var n int
		if err := json.Unmarshal(r.Record, &n); err != nil {
			t.Fatalf("record %q: %v", r.Record, err)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("SearchAudit(%s): got %v, want %v", show(q), got, want)
	}
}

func searchAudit(t *testing.T, s store.Store, q store.AuditQuery) []store.AuditRow {
	t.Helper()
	rows, err := s.SearchAudit(t.Context(), q)
	if err != nil {
		t.Fatalf("SearchAudit: %v", err)
	}
	return rows
}

func testAuditSearch(t *testing.T, db database) {
	s := db.open(t)
	wantAudit(t, s, store.AuditQuery{})
	appendAudit(t, s)
	appendAudit(t, s,
		row(0, "waldi", "10.0.0.1", "granted"),
		row(1, "waldi", "10.0.0.2", "denied"),
		row(2, "", "10.0.0.1", "denied"), // anonymous
		row(3, "Waldi", "2001:db8::1", "failed"),
	)
	appendAudit(t, s,
		row(4, "waldi", "10.0.0.1", "failed"),
		row(5, "it's\n\"用户\"", "10.0.0.1", "granted"),
	)
	second := func(n int) time.Time { return at(time.Duration(n) * time.Second) }
	for _, test := range []struct {
		q    store.AuditQuery
		want []int
	}{
		{store.AuditQuery{}, []int{5, 4, 3, 2, 1, 0}},
		{store.AuditQuery{Limit: 2}, []int{5, 4}},
		{store.AuditQuery{Limit: 1000}, []int{5, 4, 3, 2, 1, 0}},
		{store.AuditQuery{Account: new("waldi")}, []int{4, 1, 0}},
		{store.AuditQuery{Account: new("waldi"), Limit: 2}, []int{4, 1}},
		{store.AuditQuery{Account: new("")}, []int{2}},
		{store.AuditQuery{Account: new("it's\n\"用户\"")}, []int{5}},
		{store.AuditQuery{Account: new("wald%")}, nil},
		{store.AuditQuery{Client: "10.0.0.1"}, []int{5, 4, 2, 0}},
		{store.AuditQuery{Client: "2001:db8::1"}, []int{3}},
		{store.AuditQuery{Outcomes: []string{"denied"}}, []int{2, 1}},
		{store.AuditQuery{Outcomes: []string{"denied", "failed"}}, []int{4, 3, 2, 1}},
		{store.AuditQuery{Outcomes: []string{"denied", "failed"}, Limit: 3}, []int{4, 3, 2}},
		{store.AuditQuery{Outcomes: []string{"no such"}}, nil},
		{store.AuditQuery{Since: second(4)}, []int{5, 4}},
		{store.AuditQuery{Until: second(2)}, []int{1, 0}},
		{store.AuditQuery{Since: second(2), Until: second(4)}, []int{3, 2}},
		{store.AuditQuery{Since: second(2), Until: second(2)}, nil},
		{store.AuditQuery{Since: second(1).In(time.FixedZone("", 7200)), Until: second(2)}, []int{1}},
		{store.AuditQuery{Account: new("waldi"), Client: "10.0.0.1", Outcomes: []string{"failed", "denied"}, Since: second(1), Until: second(5)}, []int{4}},
	} {
		wantAudit(t, s, test.q, test.want...)
	}

	record := `{"account":"waldi","actions":["pull"],"reason":"it's \"quoted\"\nand <b>é</b>"}`
	full := store.AuditRow{Time: second(9), Account: "waldi", Client: "::1", Outcome: "granted", Record: json.RawMessage(record)}
	appendAudit(t, s, full)
	got := searchAudit(t, s, store.AuditQuery{Limit: 1})
	if len(got) != 1 || got[0].Account != full.Account || got[0].Client != full.Client || got[0].Outcome != full.Outcome ||
		!got[0].Time.Equal(full.Time) || got[0].Time.Location() != time.UTC || string(got[0].Record) != record {
		t.Errorf("got %s, want %s", show(got), show(full))
	}
}

// testAuditOrder: newest is by time; among equal times the last appended is.
func testAuditOrder(t *testing.T, db database) {
	s := db.open(t)
	late, early := row(0, "a", "c", "o"), row(1, "a", "c", "o")
	late.Time, early.Time = at(time.Hour), at(0)
	same := row(2, "a", "c", "o")
	same.Time = early.Time
	millisecond := row(3, "a", "c", "o")
	millisecond.Time = early.Time.Add(time.Millisecond)
	appendAudit(t, s, late, early)
	appendAudit(t, s, same, millisecond)
	wantAudit(t, s, store.AuditQuery{}, 0, 3, 2, 1)
	wantAudit(t, s, store.AuditQuery{Account: new("a")}, 0, 3, 2, 1)
	wantAudit(t, s, store.AuditQuery{Since: early.Time.Add(time.Millisecond)}, 0, 3)
	wantAudit(t, s, store.AuditQuery{Until: early.Time.Add(time.Millisecond)}, 2, 1)
}

func testAuditLimit(t *testing.T, db database) {
	s := db.open(t)
	var rows []store.AuditRow
	for n := range 150 {
		rows = append(rows, row(n, "waldi", "10.0.0.1", "granted"))
	}
	appendAudit(t, s, rows...)
	if got := searchAudit(t, s, store.AuditQuery{}); len(got) != 100 {
		t.Errorf("without a limit: %d rows, want 100", len(got))
	}
}

func testAuditPruning(t *testing.T, db database) {
	s := db.open(t)
	next := 0
	grow := func(n int) {
		t.Helper()
		var rows []store.AuditRow
		for range n {
			rows = append(rows, row(next, "waldi", "10.0.0.1", "granted"))
			next++
		}
		appendAudit(t, s, rows...)
		got := searchAudit(t, s, store.AuditQuery{Limit: 10 * AuditLimit})
		if least, most := min(next, AuditLimit), AuditLimit+AuditLimit/10; len(got) < least || len(got) > most {
			t.Fatalf("after %d rows: %d are kept, want %d to %d", next, len(got), least, most)
		}
		for i, r := range got {
			if want := fmt.Sprint(next - 1 - i); string(r.Record) != want {
				t.Fatalf("after %d rows: row %d is %s, want %s", next, i, r.Record, want)
			}
		}
	}
	grow(AuditLimit - 1)
	grow(1)
	grow(1)
	for range 5 {
		grow(AuditLimit / 3)
	}
	grow(3 * AuditLimit)
	grow(1)
}
