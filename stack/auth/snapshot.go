package auth

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"reflect"
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
	// These are asked in this order; the first with a rule that matches decides
	// (docker_auth's order of authorizers, after rules of ours that it lacks).
	temporary, static, stored *ACL
	limits                    map[string]scopeLimits // of named tokens, by id

	// What in the store cannot be used, for people.
	ruleFaults, tokenFaults, userFaults []string
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
	s := &snapshot{cfg: cfg}
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
	return s.renewed(state), nil
}

// renewed returns the snapshot with another state of the store, compiling only
// what differs. Stored rules and tokens that cannot be used were not made by
// Server.Change: such a rule denies in its place and such a token grants
// nothing.
func (s *snapshot) renewed(state store.State) *snapshot {
	next := *s
	next.state = state
	if s.stored == nil || !reflect.DeepEqual(s.state.Rules, state.Rules) {
		next.temporary, next.stored, next.ruleFaults = compileStored(state.Rules)
	}
	if s.limits == nil || !reflect.DeepEqual(s.state.Tokens, state.Tokens) {
		next.limits, next.tokenFaults = compileStoredLimits(state.Tokens)
	}
	if s.maxCost == 0 || !reflect.DeepEqual(s.state.Users, state.Users) {
		next.maxCost = dearest(s.cfg.Users, state.Users)
		next.userFaults = passwordFaults(state.Users)
	}
	return &next
}

// with returns the snapshot after change, or the error of a rule or token in it
// that cannot be used.
func (s *snapshot) with(change store.Change) (*snapshot, error) {
	if _, err := CompileACL(change.PutRules); err != nil {
		return nil, err
	}
	for _, t := range change.PutTokens {
		if _, err := parseLimits(t.Scopes); err != nil {
			return nil, fmt.Errorf("token %s of %s: %w", t.Name, t.User, err)
		}
	}
	return s.renewed(s.state.Apply(change)), nil
}

// compileStored compiles the stored rules. One that cannot be used denies: to go
// on without it would open what it was meant to close.
func compileStored(rules map[int64]store.Rule) (first, rest *ACL, faults []string) {
	fault := func(bad *RuleError) error {
		faults = append(faults, fmt.Sprintf("%v: the access list ends here and denies", bad))
		return nil
	}
	sorted := sortedRules(rules)
	first, _ = compileACL(slices.DeleteFunc(slices.Clone(sorted), func(r store.Rule) bool { return !temporary(r) }), false, fault)
	rest, _ = compileACL(slices.DeleteFunc(sorted, temporary), false, fault)
	return first, rest, faults
}

// temporary reports whether a stored rule comes before all others, also those of
// the configuration: its number is below 0, and it ends by itself, so that it
// hides nothing for good.
func temporary(r store.Rule) bool { return r.Seq < 0 && !r.Expires.IsZero() }

// ruleList is an access list with where its rules are kept.
type ruleList struct {
	*ACL
	source Source
}

// lists returns the access lists in the order in which they are asked.
func (s *snapshot) lists() [3]ruleList {
	return [3]ruleList{{s.temporary, SourceStore}, {s.static, SourceConfig}, {s.stored, SourceStore}}
}

// compileStoredLimits compiles the scopes of the tokens, by token id. A token
// whose scopes cannot be used grants nothing.
func compileStoredLimits(tokens map[string]store.Token) (limits map[string]scopeLimits, faults []string) {
	limits = map[string]scopeLimits{}
	for id, t := range tokens {
		l, err := parseLimits(t.Scopes)
		if err != nil {
			l = scopeLimits{}
			faults = append(faults, fmt.Sprintf("token %s of %s grants nothing: %v", t.Name, t.User, err))
		}
		limits[id] = l
	}
	slices.Sort(faults)
	return limits, faults
}

// passwordFaults tells of stored users as whom nobody can log in.
func passwordFaults(users map[string]store.User) (faults []string) {
	for name, u := range users {
		if usableHash(u.PasswordHash) == "" {
			faults = append(faults, fmt.Sprintf("user %q: the password is no bcrypt hash of cost %d or less, so none is accepted: regctl user passwd", name, maxHashCost))
		}
	}
	slices.Sort(faults)
	return faults
}

// usableHash returns the hash of a stored user, "" for one that nobody should be
// able to guess at.
func usableHash(hash string) string {
	if hashCost(hash) > maxHashCost || !isBcrypt(hash) {
		return ""
	}
	return hash
}

// refused tells what in the store is of no effect, and why.
func (s *snapshot) refused() []string {
	all := slices.Concat(s.state.Refused, s.ruleFaults, s.tokenFaults, s.userFaults)
	if len(all) > maxWarnings {
		all = append(all[:maxWarnings], fmt.Sprintf("and %d more", len(all)-maxWarnings))
	}
	return all
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
		return &account{name: name, hash: usableHash(u.PasswordHash), disabled: u.Disabled, labels: u.Labels, Window: u.Window}
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
