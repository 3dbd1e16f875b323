package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
)

// SQLite is the Store in one file. Beside the file lie -wal and -shm while it
// is open, and .lock, which keeps other processes out.
type SQLite struct {
	path       string
	lock       *os.File
	writer     *sql.DB // one connection, so writes queue instead of failing as busy
	readers    *sql.DB
	auditLimit int64
}

// SQLiteOption changes how a database is opened.
type SQLiteOption func(*SQLite)

// AuditLimit sets how many rows the audit index keeps; the default is 200,000,
// some 100 MB.
func AuditLimit(rows int) SQLiteOption {
	return func(s *SQLite) { s.auditLimit = int64(rows) }
}

// OpenSQLite opens the database at path and creates it, readable by its owner
// only, if it is not there. A database of an older schema is migrated; one of a
// newer schema or of another program is refused and left as it is. While it is
// open no one else can open it: they get ErrLocked.
func OpenSQLite(path string, opts ...SQLiteOption) (*SQLite, error) {
	s := &SQLite{path: path, auditLimit: 200_000}
	for _, opt := range opts {
		opt(s)
	}
	if err := s.open(); err != nil {
		s.Close()
		return nil, s.wrap("opening", err)
	}
	return s, nil
}

func (s *SQLite) open() error {
	path, err := createFile(s.path)
	if err != nil {
		return err
	}
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	// synchronous=FULL syncs the log at each commit, which WAL mode otherwise
	// leaves to checkpoints (SQLite: PRAGMA synchronous).
	if s.writer, err = connect(path, 1, "_txlock=immediate&_synchronous=FULL"); err != nil {
		return err
	}
	if s.readers, err = connect(path, 4, "_query_only=1"); err != nil {
		return err
	}
	ctx := context.Background()
	if err := migrate(ctx, s.writer); err != nil {
		return err
	}
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system has no shared memory for a write-ahead log (journal mode stays %s)", mode)
	}
	return nil
}

// createFile makes an empty database if there is none, and returns the absolute
// path without links: two links to one database must lead to one lock.
func createFile(path string) (string, error) {
	// SQLite would create it with 0644; -wal and -shm take its mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	return filepath.Abs(path)
}

// connect returns a pool of at most conns connections, none opened yet. The
// driver documents its parameters at Driver.Open.
func connect(path string, conns int, params string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: params + "&_busy_timeout=5000&_error_rc=1"}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(1) // each keeps a page cache of megabytes
	return db, nil
}

// Close waits for running calls and lets the next process open the database.
// Closing again does nothing.
func (s *SQLite) Close() error {
	var errs []error
	// Who closes last moves the log into the database, and readers may not.
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, unlockFile(s.lock))
	}
	if err := errors.Join(errs...); err != nil {
		return s.wrap("closing", err)
	}
	return nil
}

// Load implements Store.
func (s *SQLite) Load(ctx context.Context) (State, error) {
	state, err := s.load(ctx)
	if err != nil {
		return State{}, s.wrap("reading", err)
	}
	return state, nil
}

func (s *SQLite) load(ctx context.Context) (state State, err error) {
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return state, err
	}
	defer tx.Rollback()
	if state.Users, err = userTable().load(ctx, tx); err != nil {
		return state, err
	}
	if state.Rules, err = ruleTable().load(ctx, tx); err != nil {
		return state, err
	}
	if state.Tokens, err = tokenTable().load(ctx, tx); err != nil {
		return state, err
	}
	state.Refresh, err = refreshTable().load(ctx, tx)
	return state, err
}

// Write implements Store.
func (s *SQLite) Write(ctx context.Context, c Change) error {
	return s.update(ctx, "writing a change", func(tx *sql.Tx) error {
		if err := userTable().write(ctx, tx, c.DropUsers, c.PutUsers); err != nil {
			return err
		}
		if err := ruleTable().write(ctx, tx, c.DropRules, c.PutRules); err != nil {
			return err
		}
		if err := tokenTable().write(ctx, tx, c.DropTokens, c.PutTokens); err != nil {
			return err
		}
		return refreshTable().write(ctx, tx, c.DropRefresh, c.PutRefresh)
	})
}

// Touch implements Store.
func (s *SQLite) Touch(ctx context.Context, lastUsed map[string]time.Time) error {
	ids := slices.Collect(maps.Keys(lastUsed))
	return s.update(ctx, "recording last uses", func(tx *sql.Tx) error {
		for _, table := range []string{tokenTable().name, refreshTable().name} {
			err := execEach(ctx, tx, "UPDATE "+table+" SET last_used = ? WHERE id = ?", ids, func(id string) []any {
				at := lastUsed[id]
				return []any{timeColumn{&at}, id}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// update runs f in one transaction, which is durable once update returns nil.
func (s *SQLite) update(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap(doing, err)
	}
	defer tx.Rollback()
	if err = f(tx); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return s.wrap(doing, err)
	}
	return nil
}

func (s *SQLite) wrap(doing string, err error) error {
	return fmt.Errorf("store %s: %s: %w", s.path, doing, err)
}
