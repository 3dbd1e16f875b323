package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAuditIndex: no search sorts the audit to find its newest rows, or reads
// those that do not fit.
func TestAuditIndex(t *testing.T) {
	t.Parallel()
	s, err := OpenSQLite(filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	for _, q := range []AuditQuery{
		{},
		{Since: now, Until: now},
		{Account: new("waldi")},
		{Client: "10.0.0.1", Until: now},
		{Outcomes: []string{"denied", "failed"}, Since: now},
	} {
		query, args := auditSelect(q)
		if plan := explain(t, s, query, args); len(plan) != 1 || !strings.Contains(plan[0], "USING INDEX audit_search") {
			t.Errorf("%s: plan %q, want index audit_search alone", query, plan)
		}
	}
}

// explain returns the steps of a query. A sort is one of them.
func explain(t *testing.T, s *SQLite, query string, args []any) []string {
	t.Helper()
	rows, err := s.readers.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}
