package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"regctl/stack/auth/store"
)

// testCancelledWrite has a write fail at each of its steps in turn.
func testCancelledWrite(t *testing.T, db database) {
	s := db.open(t)
	before := store.State{}.Apply(full("kept", 1)).Apply(full("dropped", 2))
	write(t, s, full("kept", 1))
	write(t, s, full("dropped", 2))

	c := drop(store.State{}.Apply(full("dropped", 2)))
	for i := range 5 {
		more := full(fmt.Sprint("new", i), int64(10+i))
		c.PutUsers = append(c.PutUsers, more.PutUsers...)
		c.PutRules = append(c.PutRules, more.PutRules...)
		c.PutTokens = append(c.PutTokens, more.PutTokens...)
		c.PutRefresh = append(c.PutRefresh, more.PutRefresh...)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(cancelled, c); err == nil {
		t.Error("Write with a cancelled context: no error")
	}
	wantState(t, s, before)
	for looks := int64(1); ; looks++ {
		ctx := newCountdown(t.Context(), looks)
		err := s.Write(ctx, c)
		ctx.cancel()
		if err == nil {
			t.Logf("the write looks at its context %d times", looks-1)
			break
		}
		wantState(t, s, before)
	}
	wantState(t, s, before.Apply(c))
}

// countdown is a context that is cancelled when it is looked at for the n-th
// time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   *atomic.Int64
}

func newCountdown(parent context.Context, n int64) countdown {
	ctx, cancel := context.WithCancel(parent)
	left := new(atomic.Int64)
	left.Store(n)
	return countdown{ctx, cancel, left}
}

func (c countdown) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

func (c countdown) Err() error {
	c.look()
	return c.Context.Err()
}

func (c countdown) look() {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
}

// testConcurrent: every Load sees a whole change, and never an older one than
// the Load before it.
func testConcurrent(t *testing.T, db database) {
	const changes, readers = 100, 4
	s := db.open(t)
	generation := func(n int) store.Change {
		c := full("a", 1)
		c.PutUsers[0].Comment = fmt.Sprint(n)
		c.PutRules[0].Comment = fmt.Sprint(n)
		c.PutTokens[0].Name = fmt.Sprint(n)
		c.PutRefresh[0].ClientID = fmt.Sprint(n)
		return c
	}
	write(t, s, generation(0))

	var group errgroup.Group
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		for n := 1; n <= changes; n++ {
			if err := s.Write(t.Context(), generation(n)); err != nil {
				return fmt.Errorf("method Write: %w", err)
			}
		}
		return nil
	})
	for range readers {
		group.Go(func() error { return watchGenerations(t.Context(), s, done) })
	}
	group.Go(func() error {
		for n := range changes {
			if err := s.AppendAudit(t.Context(), []store.AuditRow{row(n, "a", "c", "o")}); err != nil {
				return fmt.Errorf("AppendAudit: %w", err)
			}
			if err := s.Touch(t.Context(), map[string]time.Time{"id-a": at(0)}); err != nil {
				return fmt.Errorf("method Touch: %w", err)
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s).Users["a"].Comment; got != fmt.Sprint(changes) {
		t.Errorf("after %d changes: generation %s", changes, got)
	}
	if got := searchAudit(t, s, store.AuditQuery{Limit: 2 * changes}); len(got) != changes {
		t.Errorf("%d audit rows, want %d", len(got), changes)
	}
}

// watchGenerations loads until done and checks what it sees.
func watchGenerations(ctx context.Context, s store.Store, done <-chan struct{}) error {
	last := 0
	for {
		select {
		case <-done:
			return nil
		default:
		}
		state, err := s.Load(ctx)
		if err != nil {
			return fmt.Errorf("method Load: %w", err)
		}
		if _, err := s.SearchAudit(ctx, store.AuditQuery{}); err != nil {
			return fmt.Errorf("SearchAudit: %w", err)
		}
		seen := state.Users["a"].Comment
		if rule, token, refresh := state.Rules[1].Comment, state.Tokens["id-a"].Name, state.Refresh["id-a"].ClientID; rule != seen || token != seen || refresh != seen {
			return fmt.Errorf("half a change: user %s, rule %s, token %s, refresh token %s", seen, rule, token, refresh)
		}
		var n int
		if _, err := fmt.Sscan(seen, &n); err != nil || n < last {
			return fmt.Errorf("generation %q after %d", seen, last)
		}
		last = n
	}
}
