package auth

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"regctl/stack/auth/store"
)

// maxRefreshTokens of one user are kept; the oldest go first. A build machine
// that logs in for every job would collect them without end.
const maxRefreshTokens = 100

// refreshToken returns the refresh token that belongs into the answer: the one
// used, unchanged, or a new one for who proved a password and asked for it.
// Docker keeps it instead of the password. A named token gets none: it would
// outlive the narrow rights of that token.
func (s *Server) refreshToken(ctx context.Context, snap *snapshot, who *principal, q *tokenRequest) (string, error) {
	if who.via == "refresh" {
		return q.refreshToken, nil
	}
	if !snap.cfg.Token.Refresh || !q.offline || who.via != "password" {
		return "", nil
	}
	id, text, hash := newSecret(refreshPrefix)
	now := s.now()
	t := store.Refresh{
		ID: id, User: who.name, Service: q.service, ClientID: q.clientID,
		Hash:    bindSecret(hash, who.account),
		Created: now, Expires: sooner(now.Add(snap.cfg.Token.RefreshExpiration), who.ends),
	}
	err := s.Change(ctx, func(state store.State) (store.Change, error) {
		acct := s.current.Load().account(who.name)
		if acct == nil || acct.disabled || acct.hash != who.hash {
			return store.Change{}, &denied{authFailed, "the account was changed during the login"}
		}
		return store.Change{DropRefresh: surplus(state.Refresh, who.name, now), PutRefresh: []store.Refresh{t}}, nil
	})
	if err != nil {
		return "", fmt.Errorf("keeping a refresh token: %w", err)
	}
	return text, nil
}

// bindSecret ties a refresh token to the password it was issued for: with
// another password, wherever that is kept, the token ends. Without the account
// there is no hash to match.
func bindSecret(hash []byte, acct *account) []byte {
	if acct == nil {
		return nil
	}
	return hashSecret(append(slices.Clone(hash), acct.hash...))
}

// surplus lists the refresh tokens of user that have expired or are too many.
func surplus(all map[string]store.Refresh, user string, now time.Time) (drop []string) {
	var kept []store.Refresh
	for _, t := range all {
		switch {
		case t.User != user:
		case now.Before(t.Expires):
			kept = append(kept, t)
		default:
			drop = append(drop, t.ID)
		}
	}
	slices.SortFunc(kept, func(a, b store.Refresh) int { return b.Created.Compare(a.Created) })
	for _, t := range kept[min(len(kept), maxRefreshTokens-1):] {
		drop = append(drop, t.ID)
	}
	return drop
}

// useLog remembers when tokens were last used until the store is told.
type useLog struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (u *useLog) note(id string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[string]time.Time{}
	}
	if now.After(u.last[id]) {
		u.last[id] = now
	}
}

func (u *useLog) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

// flushUses writes the times of last use to the store and to the snapshot.
func (s *Server) flushUses(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.outage.Load() != nil {
		return nil // for the next time
	}
	last := s.uses.take()
	if len(last) == 0 {
		return nil
	}
	if err := s.store.Touch(ctx, last); err != nil {
		for id, at := range last { // for the next time
			s.uses.note(id, at)
		}
		return fmt.Errorf("writing times of last use: %w", err)
	}
	next := *s.current.Load()
	next.state = next.state.Touch(last)
	s.current.Store(&next)
	return nil
}
