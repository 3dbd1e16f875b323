package store

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func benchSQLite(b *testing.B) *SQLite {
	s, err := OpenSQLite(filepath.Join(b.TempDir(), "auth.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func benchUsers(n int) []User {
	users := make([]User, n)
	for i := range users {
		users[i] = User{
			Name: fmt.Sprint("user", i), PasswordHash: strings.Repeat("x", 60), Created: time.Now(),
			Labels: map[string][]string{"full-access": {"test", "socke*"}, "read-only-access": {"prod/*"}},
		}
	}
	return users
}

func BenchmarkWriteOneUser(b *testing.B) {
	s := benchSQLite(b)
	users := benchUsers(1000)
	for n := 0; b.Loop(); n++ {
		if err := s.Write(b.Context(), Change{PutUsers: users[n%1000 : n%1000+1]}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad10000Users(b *testing.B) {
	s := benchSQLite(b)
	if err := s.Write(b.Context(), Change{PutUsers: benchUsers(10_000)}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendAudit500 appends to a full index, so each batch also prunes.
func BenchmarkAppendAudit500(b *testing.B) {
	s := benchSQLite(b)
	for range s.auditLimit / 500 {
		appendBatch(b, s)
	}
	for b.Loop() {
		appendBatch(b, s)
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkSearchAudit looks in a full index for what is not there, the worst
// case.
func BenchmarkSearchAudit(b *testing.B) {
	s := benchSQLite(b)
	for range s.auditLimit / 500 {
		appendBatch(b, s)
	}
	for b.Loop() {
		if _, err := s.SearchAudit(b.Context(), AuditQuery{Client: "192.0.2.1"}); err != nil {
			b.Fatal(err)
		}
	}
}

func appendBatch(b *testing.B, s *SQLite) {
	rows := make([]AuditRow, 500)
	for i := range rows {
		rows[i] = AuditRow{
			Time: time.Now(), Account: fmt.Sprint("user", i%50), Client: fmt.Sprint("10.0.0.", i%200),
			Outcome: []string{"granted", "denied", "failed"}[i%3], Record: json.RawMessage(`"` + strings.Repeat("x", 400) + `"`),
		}
	}
	if err := s.AppendAudit(b.Context(), rows); err != nil {
		b.Fatal(err)
	}
}
