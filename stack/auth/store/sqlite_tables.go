package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// table maps records of type V, with keys of type K, to a table.
type table[K comparable, V any] struct {
	name    string
	columns []string // the key is the first
	// fields are the places of a record that hold the columns: arguments of an
	// insert as well as destinations of a scan.
	fields func(*V) []any
	key    func(V) K
}

func userTable() table[string, User] {
	return table[string, User]{
		name:    "users",
		columns: []string{"name", "password_hash", "labels", "disabled", "comment", "created", "not_before", "expires"},
		fields: func(u *User) []any {
			return []any{&u.Name, &u.PasswordHash, jsonColumn{&u.Labels}, &u.Disabled, &u.Comment,
				timeColumn{&u.Created}, timeColumn{&u.NotBefore}, timeColumn{&u.Expires}}
		},
		key: func(u User) string { return u.Name },
	}
}

func ruleTable() table[int64, Rule] {
	return table[int64, Rule]{
		name:    "rules",
		columns: []string{"seq", "match", "actions", "comment", "not_before", "expires"},
		fields: func(r *Rule) []any {
			return []any{&r.Seq, jsonColumn{&r.Match}, jsonColumn{&r.Actions}, &r.Comment,
				timeColumn{&r.NotBefore}, timeColumn{&r.Expires}}
		},
		key: func(r Rule) int64 { return r.Seq },
	}
}

func tokenTable() table[string, Token] {
	return table[string, Token]{
		name:    "tokens",
		columns: []string{"id", "username", "name", "hash", "scopes", "created", "last_used", "not_before", "expires"},
		fields: func(t *Token) []any {
			return []any{&t.ID, &t.User, &t.Name, &t.Hash, jsonColumn{&t.Scopes},
				timeColumn{&t.Created}, timeColumn{&t.LastUsed}, timeColumn{&t.NotBefore}, timeColumn{&t.Expires}}
		},
		key: func(t Token) string { return t.ID },
	}
}

func refreshTable() table[string, Refresh] {
	return table[string, Refresh]{
		name:    "refresh_tokens",
		columns: []string{"id", "username", "service", "client_id", "hash", "created", "last_used", "expires"},
		fields: func(r *Refresh) []any {
			return []any{&r.ID, &r.User, &r.Service, &r.ClientID, &r.Hash,
				timeColumn{&r.Created}, timeColumn{&r.LastUsed}, timeColumn{&r.Expires}}
		},
		key: func(r Refresh) string { return r.ID },
	}
}

// load returns all records of the table.
func (t table[K, V]) load(ctx context.Context, tx *sql.Tx) (map[K]V, error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s", strings.Join(t.columns, ", "), t.name))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	records := map[K]V{}
	for rows.Next() {
		var v V
		if err := rows.Scan(t.fields(&v)...); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		records[t.key(v)] = v
	}
	return records, rows.Err()
}

// write deletes the records with the keys drop, then inserts or replaces put.
func (t table[K, V]) write(ctx context.Context, tx *sql.Tx, drop []K, put []V) error {
	err := execEach(ctx, tx, fmt.Sprintf("DELETE FROM %s WHERE %s = ?", t.name, t.columns[0]), drop,
		func(key K) []any { return []any{key} })
	if err != nil {
		return err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(t.columns)), ", ")
	return execEach(ctx, tx, fmt.Sprintf("REPLACE INTO %s (%s) VALUES (%s)", t.name, strings.Join(t.columns, ", "), marks), put,
		func(v V) []any { return t.fields(&v) })
}

// execEach runs a statement once for each item. It watches ctx between items
// only: to watch it within a short statement costs the driver a goroutine each.
func execEach[T any](ctx context.Context, tx *sql.Tx, query string, items []T, args func(T) []any) error {
	if len(items) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, item := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := stmt.Exec(args(item)...); err != nil {
			return err
		}
	}
	return nil
}

// timeColumn keeps a time as unix milliseconds, the zero time as NULL.
type timeColumn struct{ t *time.Time }

func (c timeColumn) Value() (driver.Value, error) {
	if c.t.IsZero() {
		return nil, nil
	}
	return c.t.UnixMilli(), nil
}

func (c timeColumn) Scan(src any) error {
	switch ms := src.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = time.UnixMilli(ms).UTC()
	default:
		return fmt.Errorf("unix milliseconds expected, found %T", src)
	}
	return nil
}

// jsonColumn keeps what v points to as JSON text.
type jsonColumn struct{ v any }

func (c jsonColumn) Value() (driver.Value, error) {
	text, err := json.Marshal(c.v)
	return string(text), err
}

func (c jsonColumn) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("JSON text expected, found %T", src)
	}
	return json.Unmarshal([]byte(text), c.v)
}
