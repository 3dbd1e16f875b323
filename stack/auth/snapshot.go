package auth

import (
	"cmp"
	"fmt"
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

	accounts map[string]*account
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
	hash     []byte // bcrypt; anything else never matches
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
	s.accounts, s.maxCost = accounts(cfg.Users, state.Users)
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
		next.accounts, next.maxCost = accounts(s.cfg.Users, next.state.Users)
	}
	return &next, nil
}

func sortedRules(rules map[int64]store.Rule) []store.Rule {
	return slices.SortedFunc(maps.Values(rules), func(a, b store.Rule) int { return cmp.Compare(a.Seq, b.Seq) })
}

// accounts merges both sources of users. A static user hides a stored one of
// the same name: the first authenticator that knows an account decides.
func accounts(static map[string]StaticUser, stored map[string]store.User) (map[string]*account, int) {
	all := make(map[string]*account, len(static)+len(stored))
	for name, u := range stored {
		all[name] = &account{name: name, hash: []byte(u.PasswordHash), disabled: u.Disabled, labels: u.Labels, Window: u.Window}
	}
	for name, u := range static {
		a := &account{name: name, open: u.PasswordHash == nil, disabled: u.Disabled, labels: u.Labels, Window: u.Window}
		if !a.open {
			a.hash = []byte(*u.PasswordHash)
		}
		all[name] = a
	}
	maxCost := 0
	for _, a := range all {
		maxCost = max(maxCost, hashCost(string(a.hash)))
	}
	if maxCost == 0 {
		maxCost = bcrypt.DefaultCost
	}
	return all, min(maxCost, maxHashCost)
}
