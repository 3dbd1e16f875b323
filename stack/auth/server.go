// Package auth is the token server of a Docker registry: it authenticates
// accounts, decides what they may do, and signs the tokens that the registry
// trusts (distribution's token authentication).
//
// Decisions are made on an immutable snapshot: accounts, compiled rules, tokens
// and signing key as of one moment. A change or a reload builds the next
// snapshot, makes it durable where there is a store, and then swaps it in;
// requests under way finish on the one they began with.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"regctl/stack/auth/store"
)

// Server is the auth server. Make it with New.
type Server struct {
	store   store.Store // nil: only static users and rules
	log     *slog.Logger
	now     func() time.Time
	audit   *auditLog
	metrics *metrics
	creds   *verifier
	budget  *budget
	logins  singleflight.Group

	changing sync.Mutex // one writer: changes and reloads take turns
	current  atomic.Pointer[snapshot]
	uses     useLog
	outage   atomic.Pointer[outage] // nil: the database answers
}

// Options are what a Server is made of besides its configuration.
type Options struct {
	Store store.Store      // nil: only the configuration's users and rules
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
}

// New makes a server that decides by cfg and by what opts.Store holds. The
// caller closes the store after the server.
func New(ctx context.Context, cfg *Config, opts Options) (*Server, error) {
	s := &Server{store: opts.Store, log: opts.Log, now: opts.Now}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	var state store.State
	if s.store != nil {
		var err error
		if state, err = s.store.Load(ctx); err != nil {
			return nil, fmt.Errorf("reading the store: %w", err)
		}
	}
	snap, err := newSnapshot(cfg, state, s.now())
	if err != nil {
		return nil, err
	}
	if s.audit, err = openAuditLog(cfg.Audit.File, s.auditStore(), s.log); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s)
	s.creds = newVerifier(s.now, func(took time.Duration) { s.metrics.hashing.Observe(took.Seconds()) })
	s.budget = newBudget(s.now)
	s.current.Store(snap)
	s.tellRefused(nil, snap)
	return s, nil
}

// Close writes out what is still in memory: the audit log's tail and the times
// of last use. Call it after the last request.
func (s *Server) Close() error {
	return errors.Join(s.flushUses(context.Background()), s.audit.Close())
}

// State returns the users, rules and tokens of the store as they are now.
func (s *Server) State() store.State { return s.current.Load().state }

// errNoStore answers changes on a server that has nowhere to keep them.
var errNoStore = errors.New("this server has no store: its users and rules are in its configuration file (users, acl)")

// Change makes one change to the store: edit is given the current state and
// returns what to change, or an error to change nothing. When Change returns
// nil the change is durable and in force for every later request. Changes are
// made one at a time, so edit may check what it likes in the state it gets.
func (s *Server) Change(ctx context.Context, edit func(store.State) (store.Change, error)) error {
	if s.store == nil {
		return errNoStore
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	old := s.current.Load()
	change, err := edit(old.state)
	if err != nil {
		return err
	}
	next, err := old.with(change)
	if err != nil {
		return err
	}
	if err := s.store.Write(ctx, change); err != nil {
		return fmt.Errorf("writing to the store: %w", err)
	}
	s.current.Store(next)
	return nil
}

// Reload puts a new configuration in force. On an error the old one stays.
// Addresses to listen on are the caller's business.
func (s *Server) Reload(cfg *Config) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	old := s.current.Load()
	if !old.cfg.Store.sameDatabase(cfg.Store) {
		return errors.New("store.path, mongo_auth and acl_mongo, but for cache_ttl, cannot change while the server runs: restart it")
	}
	next, err := newSnapshot(cfg, old.state, s.now())
	if err != nil {
		return err
	}
	if err := s.audit.Reopen(cfg.Audit.File); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}
