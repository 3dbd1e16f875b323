package store

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks a database file as ours (SQLite: PRAGMA application_id);
// its bytes spell "rctl".
const applicationID = 0x7263746c

// migrations lead from each schema version to the next. The version of a
// database, its PRAGMA user_version, is the number of those it has been
// through; what was released is never edited.
//
// Times are unix milliseconds, NULL for none. Columns that are not scalars
// hold JSON. Audit ids rise by one and only the lowest are deleted, so their
// span is the number of rows. The audit has one index, in which every search
// reads the newest rows first and filters without fetching them: rows are
// appended far more often than searched, and an index for each column would
// more than double the cost of that.
func migrations() []string {
	return []string{`
CREATE TABLE users (
	name          TEXT PRIMARY KEY,
	password_hash TEXT NOT NULL,
	labels        TEXT NOT NULL,
	disabled      INTEGER NOT NULL,
	comment       TEXT NOT NULL,
	created       INTEGER,
	not_before    INTEGER,
	expires       INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE rules (
	seq        INTEGER PRIMARY KEY,
	match      TEXT NOT NULL,
	actions    TEXT NOT NULL,
	comment    TEXT NOT NULL,
	not_before INTEGER,
	expires    INTEGER
) STRICT;

CREATE TABLE tokens (
	id         TEXT PRIMARY KEY,
	username   TEXT NOT NULL,
	name       TEXT NOT NULL,
	hash       BLOB NOT NULL,
	scopes     TEXT NOT NULL,
	created    INTEGER,
	last_used  INTEGER,
	not_before INTEGER,
	expires    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_tokens (
	id        TEXT PRIMARY KEY,
	username  TEXT NOT NULL,
	service   TEXT NOT NULL,
	client_id TEXT NOT NULL,
	hash      BLOB NOT NULL,
	created   INTEGER,
	last_used INTEGER,
	expires   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
	id      INTEGER PRIMARY KEY,
	time    INTEGER NOT NULL,
	account TEXT NOT NULL,
	client  TEXT NOT NULL,
	outcome TEXT NOT NULL,
	record  TEXT NOT NULL
) STRICT;
CREATE INDEX audit_search ON audit (time, id, account, client, outcome);
`}
}

// migrate brings the database to the newest schema. It changes nothing in the
// database of another program or of a newer version of this one.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var app, version, tables int
	err = tx.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&app, &version, &tables)
	if err != nil {
		return err
	}
	steps := migrations()
	switch fresh := app == 0 && version == 0 && tables == 0; {
	case !fresh && app != applicationID:
		return fmt.Errorf("is the database of another program")
	case version > len(steps):
		return fmt.Errorf("has schema version %d and this program knows up to %d: use the newer program that wrote it", version, len(steps))
	case version == len(steps):
		return nil
	}
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("migrating the schema from version %d: %w", version, err)
		}
	}
	// A PRAGMA takes no bound parameters.
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(steps)))
	if err != nil {
		return fmt.Errorf("migrating the schema from version %d: %w", version, err)
	}
	return tx.Commit()
}
