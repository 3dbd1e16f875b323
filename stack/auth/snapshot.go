package auth

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store"
)

// snapshot is all that a decision looks at. It never changes.
type snapshot struct {
	cfg    *Config
	state  store.State
	signer signer

	// maxCost is the dearest bcrypt cost; unknown accounts cost as much. A
	// dearer hash that --compat let pass costs only those who guess at it.
	maxCost int
	// static and stored are asked in this order; the first with a rule that
	// matches decides (docker_auth's order of authorizers).
	static, stored *ACL
	limits         map[string]scopeLimits // of named tokens, by id
}

// account is a user that may authenticate, from the configuration or the store.
type account struct {
	name     string
	hash     string // bcrypt; anything else never matches
	open     bool   // accepts every password
	disabled bool
	labels   map[string][]string
	store.Window
}

// newSnapshot compiles a configuration and the state of the store.
func newSnapshot(cfg *Config, state store.State, now time.Time) (*snapshot, error) {
	s := &snapshot{cfg: cfg, state: state}
	var err error
	if s.signer, err = newSigner(&cfg.Token, now); err != nil {
		return nil, err
	}
	var options []CompileOption
	if cfg.Compat {
		options = append(options, IgnoreBadGlobs)
	}
	if s.static, err = CompileACL(cfg.ACL, options...); err != nil {
		return nil, fmt.Errorf("acl: %w", err)
	}
	if s.stored, err = CompileACL(sortedRules(state.Rules)); err != nil {
		return nil, fmt.Errorf("stored rules: %w", err)
	}
	if s.limits, err = compileLimits(state.Tokens); err != nil {
		return nil, fmt.Errorf("stored tokens: %w", err)
	}
	s.maxCost = dearest(cfg.Users, state.Users)
	return s, nil
}

// with returns the snapshot after change, compiling only what it touches.
func (s *snapshot) with(change store.Change) (*snapshot, error) {
	next := *s
	next.state = s.state.Apply(change)
	var err error
	if len(change.PutRules)+len(change.DropRules) > 0 {
		if next.stored, err = CompileACL(sortedRules(next.state.Rules)); err != nil {
			return nil, err
		}
	}
	if len(change.PutTokens)+len(change.DropTokens) > 0 {
		if next.limits, err = compileLimits(next.state.Tokens); err != nil {
			return nil, err
		}
	}
	if len(change.PutUsers)+len(change.DropUsers) > 0 {
		next.maxCost = dearest(s.cfg.Users, next.state.Users)
	}
	return &next, nil
}

func sortedRules(rules map[int64]store.Rule) []store.Rule {
	return slices.SortedFunc(maps.Values(rules), func(a, b store.Rule) int { return cmp.Compare(a.Seq, b.Seq) })
}

// account returns the account of that name, or nil. A static user hides a stored
// one: the first authenticator that knows an account decides. It is made when it
// is asked for, so that 10,000 users are not kept twice.
func (s *snapshot) account(name string) *account {
	if u, ok := s.cfg.Users[name]; ok {
		a := &account{name: name, open: u.PasswordHash == nil, disabled: u.Disabled, labels: u.Labels, Window: u.Window}
		if !a.open {
			a.hash = *u.PasswordHash
		}
		return a
	}
	if u, ok := s.state.Users[name]; ok {
		return &account{name: name, hash: u.PasswordHash, disabled: u.Disabled, labels: u.Labels, Window: u.Window}
	}
	return nil
}

// names yields the names of all accounts.
func (s *snapshot) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range s.state.Users {
			if !yield(name) {
				return
			}
		}
		for name := range s.cfg.Users {
			if _, hidden := s.state.Users[name]; !hidden && !yield(name) {
				return
			}
		}
	}
}

// accounts counts them.
func (s *snapshot) accounts() (n int) {
	for range s.names() {
		n++
	}
	return n
}

// dearest returns the highest bcrypt cost of all accounts.
func dearest(static map[string]StaticUser, stored map[string]store.User) int {
	cost := 0
	for _, u := range static {
		if u.PasswordHash != nil {
			cost = max(cost, hashCost(*u.PasswordHash))
		}
	}
	for _, u := range stored {
		cost = max(cost, hashCost(u.PasswordHash))
	}
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	return min(cost, maxHashCost)
}
