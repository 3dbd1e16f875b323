package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"
)

// AppendAudit implements Store.
func (s *SQLite) AppendAudit(ctx context.Context, rows []AuditRow) error {
	return s.update(ctx, "appending to the audit", func(tx *sql.Tx) error {
		err := execEach(ctx, tx, "INSERT INTO audit (time, account, client, outcome, record) VALUES (?, ?, ?, ?, ?)", rows,
			func(r AuditRow) []any {
				return []any{r.Time.UnixMilli(), r.Account, r.Client, r.Outcome, string(r.Record)}
			})
		if err != nil {
			return err
		}
		// Ids have no gaps, so nothing needs to be counted.
		_, err = tx.ExecContext(ctx, "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", s.auditLimit)
		return err
	})
}

// SearchAudit implements Store.
func (s *SQLite) SearchAudit(ctx context.Context, q AuditQuery) ([]AuditRow, error) {
	rows, err := s.searchAudit(ctx, q)
	if err != nil {
		return nil, s.wrap("searching the audit", err)
	}
	return rows, nil
}

func (s *SQLite) searchAudit(ctx context.Context, q AuditQuery) ([]AuditRow, error) {
	query, args := auditSelect(q)
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []AuditRow
	for rows.Next() {
		var r AuditRow
		var ms int64
		var record string
		if err := rows.Scan(&ms, &r.Account, &r.Client, &r.Outcome, &record); err != nil {
			return nil, err
		}
		r.Time, r.Record = time.UnixMilli(ms).UTC(), json.RawMessage(record)
		found = append(found, r)
	}
	return found, rows.Err()
}

// auditSelect returns the statement for q and its arguments.
func auditSelect(q AuditQuery) (string, []any) {
	var where []string
	var args []any
	and := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if q.Account != nil {
		and("account = ?", *q.Account)
	}
	if q.Client != "" {
		and("client = ?", q.Client)
	}
	if len(q.Outcomes) > 0 {
		outcomes := make([]any, len(q.Outcomes))
		for i, outcome := range q.Outcomes {
			outcomes[i] = outcome
		}
		and("outcome IN (?"+strings.Repeat(", ?", len(outcomes)-1)+")", outcomes...)
	}
	if !q.Since.IsZero() {
		and("time >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		and("time < ?", q.Until.UnixMilli())
	}
	query := "SELECT time, account, client, outcome, record FROM audit"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	return query + " ORDER BY time DESC, id DESC LIMIT ?", append(args, limit)
}
