// Package store keeps what the auth server must not forget: users, rules,
// named tokens, refresh tokens and the index of the audit log.
//
// A Store is written by one process of ours, the auth server, which serialises
// its writes and answers every decision from memory. A backend is therefore small:
// load everything, write a change atomically, remember uses, search the audit.
// Package storetest holds the contract that each backend must pass.
package store

import (
	"context"
	"encoding/json"
	"maps"
	"time"
)

// Store is what a backend implements. Its methods may be called concurrently.
type Store interface {
	// Load returns everything that decisions need, as of one moment.
	Load(ctx context.Context) (State, error)
	// Write applies c whole or not at all. When it returns nil the change is
	// durable: it survives kill -9 and a power cut.
	Write(ctx context.Context, c Change) error
	// Touch records when named and refresh tokens were last used, by their id.
	// Unknown ids are ignored: the token may be gone by now.
	Touch(ctx context.Context, lastUsed map[string]time.Time) error
	// AppendAudit adds rows to the audit index and drops the oldest rows above
	// the backend's limit.
	AppendAudit(ctx context.Context, rows []AuditRow) error
	// SearchAudit returns the newest rows that fit q, newest first.
	SearchAudit(ctx context.Context, q AuditQuery) ([]AuditRow, error)
	Close() error
}

// Shared is a Store that others write as well: people who edit the database.
type Shared interface {
	Store
	// Poll returns what the store holds now, or false if that is the state last,
	// which is then cheap to find out.
	Poll(ctx context.Context, last State) (State, bool, error)
}

// Window is the time in which something holds: from NotBefore on, and until
// just before Expires. A zero time leaves that side open. Stores keep
// milliseconds and return UTC.
type Window struct {
	NotBefore time.Time `json:"not_before,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
}

// Pending reports whether the window has yet to begin.
func (w Window) Pending(now time.Time) bool { return !w.NotBefore.IsZero() && now.Before(w.NotBefore) }

// Over reports whether the window has ended.
func (w Window) Over(now time.Time) bool { return !w.Expires.IsZero() && !now.Before(w.Expires) }

// User is an account. Its name is case-sensitive and the key of the record.
type User struct {
	Name string `json:"username"`
	// PasswordHash is a bcrypt hash; an empty one matches no password. It never
	// leaves the server.
	PasswordHash string              `json:"-"`
	Labels       map[string][]string `json:"labels,omitempty"`
	Disabled     bool                `json:"disabled,omitempty"`
	Comment      string              `json:"comment,omitempty"`
	Created      time.Time           `json:"created,omitzero"`
	Window
}

// Rule is an entry of the access list; Seq is its place and its key. Rules are
// tried in rising order of Seq and the first whose Match holds decides.
type Rule struct {
	Seq     int64    `json:"seq"`
	Match   Match    `json:"match"`
	Actions []string `json:"actions"`
	Comment string   `json:"comment,omitempty"`
	Window
}

// Match holds a rule's conditions, which must all be met. A nil pointer is an
// absent condition, always met; a pointer to "" is met by the empty text only.
// The pattern language is documented at auth.CompileACL.
type Match struct {
	Account *string           `json:"account,omitempty"`
	Type    *string           `json:"type,omitempty"`
	Name    *string           `json:"name,omitempty"`
	Service *string           `json:"service,omitempty"`
	IP      *string           `json:"ip,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// Token is a named secret of a user, for a robot or a second machine. The
// secret itself is shown once and kept only as a hash.
type Token struct {
	ID   string `json:"id"` // public, unique, part of the secret's text
	User string `json:"username"`
	Name string `json:"name"` // unique among the tokens of a user
	// Hash is SHA-256 of the secret, which is 32 random bytes: nothing to
	// guess, so nothing to slow down.
	Hash []byte `json:"-"`
	// Scopes narrow what the user may do, as type:name-pattern:actions. None
	// means all that the user may do.
	Scopes   []string  `json:"scopes,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Window
}

// Refresh is an OAuth2 refresh token, bound to one account and one service.
type Refresh struct {
	ID       string    `json:"id"` // public, unique, part of the secret's text
	User     string    `json:"username"`
	Service  string    `json:"service"`
	ClientID string    `json:"client_id,omitempty"`
	Hash     []byte    `json:"-"` // SHA-256 of the secret
	Created  time.Time `json:"created,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
}

// State is all that decisions need. It is a value to read: Apply returns a new
// one and leaves the old as it was.
type State struct {
	Users   map[string]User
	Rules   map[int64]Rule
	Tokens  map[string]Token   // by id
	Refresh map[string]Refresh // by id

	// Refused tells which records could not be understood, and why, one to a
	// line. No user, token or right comes of them; a rule among them denies in
	// its place, so that what it was meant to close stays closed.
	Refused []string

	version string // of the database, as Shared.Poll knows it again; "" is unknown
}

// Change is a set of writes that take effect together. Drops come first, then
// puts; a put replaces the record of the same key, and dropping what is not
// there is no error. There is no cascade: whoever removes a user lists its
// tokens too.
type Change struct {
	DropUsers   []string
	DropRules   []int64
	DropTokens  []string
	DropRefresh []string

	PutUsers   []User
	PutRules   []Rule
	PutTokens  []Token
	PutRefresh []Refresh
}

// Apply returns s with c applied. Only the maps that c touches are copied.
func (s State) Apply(c Change) State {
	return State{
		Users:   apply(s.Users, c.DropUsers, c.PutUsers, func(u User) string { return u.Name }),
		Rules:   apply(s.Rules, c.DropRules, c.PutRules, func(r Rule) int64 { return r.Seq }),
		Tokens:  apply(s.Tokens, c.DropTokens, c.PutTokens, func(t Token) string { return t.ID }),
		Refresh: apply(s.Refresh, c.DropRefresh, c.PutRefresh, func(r Refresh) string { return r.ID }),
		Refused: s.Refused,
	}
}

// Touch returns s with the times of last use of named and refresh tokens set, by
// id. Unknown ids are ignored.
func (s State) Touch(lastUsed map[string]time.Time) State {
	s.Tokens, s.Refresh, s.version = maps.Clone(s.Tokens), maps.Clone(s.Refresh), ""
	for id, at := range lastUsed {
		if t, ok := s.Tokens[id]; ok {
			t.LastUsed = at
			s.Tokens[id] = t
		}
		if r, ok := s.Refresh[id]; ok {
			r.LastUsed = at
			s.Refresh[id] = r
		}
	}
	return s
}

func apply[K comparable, V any](m map[K]V, drop []K, put []V, key func(V) K) map[K]V {
	if len(drop) == 0 && len(put) == 0 {
		return m
	}
	out := maps.Clone(m)
	if out == nil {
		out = map[K]V{}
	}
	for _, k := range drop {
		delete(out, k)
	}
	for _, v := range put {
		out[key(v)] = v
	}
	return out
}

// AuditRow is one decision: the columns that a search uses, and the whole
// record as written to the audit log.
type AuditRow struct {
	Time    time.Time       `json:"time"`
	Account string          `json:"account"`
	Client  string          `json:"client"`  // address
	Outcome string          `json:"outcome"` // auth.Outcome
	Record  json.RawMessage `json:"record"`
}

// AuditQuery selects audit rows; zero fields select everything.
type AuditQuery struct {
	Account  *string
	Client   string
	Outcomes []string
	Since    time.Time // inclusive
	Until    time.Time // exclusive
	Limit    int       // 0 means 100
}
