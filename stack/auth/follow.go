package auth

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"regctl/stack/auth/store"
)

// outageRetry is how often a database that does not answer is asked again.
const outageRetry = time.Second

// outage is the time in which the database of a shared store does not answer.
// Requests are decided by what was last known.
type outage struct {
	since time.Time
	err   error
}

func (o *outage) Error() string {
	return fmt.Sprintf("the database has not answered since %s, so users and rules are those of that time and nothing can be changed: %v", stamp(o.since), o.err)
}

// follow looks at a shared store for edits by others until ctx ends.
func (s *Server) follow(ctx context.Context) {
	shared, ok := s.store.(store.Shared)
	if !ok {
		return
	}
	wait := time.NewTimer(s.cacheTTL())
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		s.look(ctx, shared)
		next := s.cacheTTL()
		if s.outage.Load() != nil {
			next = min(next, outageRetry)
		}
		wait.Reset(next)
	}
}

func (s *Server) cacheTTL() time.Duration {
	if c := s.current.Load().cfg.Store; c != nil {
		return cmp.Or(c.CacheTTL, DefaultCacheTTL)
	}
	return DefaultCacheTTL
}

// look puts in force what others have changed. It does not keep changes of our
// own waiting while it reads; if one was made meanwhile, what was read may be
// older, and the next look decides.
func (s *Server) look(ctx context.Context, shared store.Shared) {
	old := s.current.Load()
	state, changed, err := shared.Poll(ctx, old.state)
	if ctx.Err() != nil {
		return
	}
	s.noteAnswer(err)
	if err != nil || !changed {
		return
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.current.Load() == old {
		s.adopt(old, state)
	}
}

// catchUp looks at a shared store before a change of our own, so that an edit by
// others is not undone. The caller holds changing.
func (s *Server) catchUp(ctx context.Context) error {
	shared, ok := s.store.(store.Shared)
	if !ok {
		return nil
	}
	if o := s.outage.Load(); o != nil {
		return o
	}
	old := s.current.Load()
	state, changed, err := shared.Poll(ctx, old.state)
	if err != nil {
		if ctx.Err() == nil {
			s.noteAnswer(err)
		}
		return fmt.Errorf("reading the store: %w", err)
	}
	if changed {
		s.adopt(old, state)
	}
	return nil
}

// adopt puts a state of the store in force.
func (s *Server) adopt(old *snapshot, state store.State) {
	next := old.renewed(state)
	s.current.Store(next)
	s.tellRefused(old, next)
}

// tellRefused logs what could not be understood and was not told before.
func (s *Server) tellRefused(old, next *snapshot) {
	for _, line := range next.refused() {
		if old == nil || !slices.Contains(old.refused(), line) {
			s.log.Warn("stored: " + line)
		}
	}
}

// auditStore is where audit records are kept for searches, nil for nowhere. What
// happens during an outage is missing from it: waiting for the database would
// keep requests waiting in the end.
func (s *Server) auditStore() store.Store {
	if _, ok := s.store.(store.Shared); ok {
		return auditIndex{s.store, &s.outage}
	}
	return s.store
}

type auditIndex struct {
	store.Store
	outage *atomic.Pointer[outage]
}

// AppendAudit does not try during an outage.
func (p auditIndex) AppendAudit(ctx context.Context, rows []store.AuditRow) error {
	if o := p.outage.Load(); o != nil {
		return o
	}
	return p.Store.AppendAudit(ctx, rows)
}

// noteAnswer remembers whether the database answers.
func (s *Server) noteAnswer(err error) {
	was := s.outage.Load()
	switch {
	case err == nil && was != nil:
		s.outage.Store(nil)
		s.audit.broken.Store(false) // the next batch will tell
		s.log.Info("the database answers again", "after", s.now().Sub(was.since).Round(time.Second).String())
	case err != nil && was == nil:
		o := &outage{s.now(), err}
		s.outage.Store(o)
		s.log.Error(strings.ReplaceAll(o.Error(), "\n", ": "))
	}
}
