package auth

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

// TokenKind tells the two kinds of tokens apart.
type TokenKind string

// A named token is made by an admin, a refresh token by a login.
const (
	NamedToken   TokenKind = "named"
	RefreshToken TokenKind = "refresh"
)

// TokenInfo is a token as the admin API shows it: without its secret.
type TokenInfo struct {
	ID       string    `json:"id"`
	Kind     TokenKind `json:"kind"`
	User     string    `json:"username"`
	Name     string    `json:"name,omitempty"`      // of a named token
	Service  string    `json:"service,omitempty"`   // of a refresh token
	ClientID string    `json:"client_id,omitempty"` // of a refresh token
	Scopes   []string  `json:"scopes,omitempty"`    // none: all that the user may do
	Created  time.Time `json:"created,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	store.Window
	Standing Standing `json:"standing"`
}

// NewToken is a named token to create.
type NewToken struct {
	User   string   `json:"username"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes,omitempty"`
	store.Window
}

// CreatedToken is a new named token with its secret, which is shown only here.
type CreatedToken struct {
	TokenInfo
	Secret string `json:"secret"`
}

// Revocation names tokens to end: one by its id, one by user and name, or all
// of a user.
type Revocation struct {
	ID   string `json:"id,omitempty"`
	User string `json:"username,omitempty"`
	Name string `json:"name,omitempty"`
	All  bool   `json:"all,omitempty"`
}

func (a *admin) namedInfo(t store.Token) TokenInfo {
	return TokenInfo{ID: t.ID, Kind: NamedToken, User: t.User, Name: t.Name, Scopes: t.Scopes, Created: t.Created,
		LastUsed: t.LastUsed, Window: t.Window, Standing: standing(false, t.Window, a.now())}
}

func (a *admin) refreshInfo(t store.Refresh) TokenInfo {
	w := store.Window{Expires: t.Expires}
	return TokenInfo{ID: t.ID, Kind: RefreshToken, User: t.User, Service: t.Service, ClientID: t.ClientID, Created: t.Created,
		LastUsed: t.LastUsed, Window: w, Standing: standing(false, w, a.now())}
}

func (a *admin) tokens(state store.State) []TokenInfo {
	all := []TokenInfo{}
	for _, t := range state.Tokens {
		all = append(all, a.namedInfo(t))
	}
	for _, t := range state.Refresh {
		all = append(all, a.refreshInfo(t))
	}
	slices.SortFunc(all, func(a, b TokenInfo) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func (a *admin) listTokens(ctx context.Context, in UserName) ([]TokenInfo, error) {
	if err := a.flushUses(ctx); err != nil { // the times of last use are kept apart for a while
		return nil, err
	}
	all := a.tokens(a.State())
	if in.Name == "" {
		return all, nil
	}
	if a.current.Load().account(in.Name) == nil {
		return nil, noUser(in.Name)
	}
	return slices.DeleteFunc(all, func(t TokenInfo) bool { return t.User != in.Name }), nil
}

func (a *admin) createToken(ctx context.Context, in NewToken) (CreatedToken, error) {
	if err := checkName("token name", in.Name); err != nil {
		return CreatedToken{}, err
	}
	if err := checkTokenScopes(in.Scopes); err != nil {
		return CreatedToken{}, err
	}
	if err := checkWindow(in.Window, a.now()); err != nil {
		return CreatedToken{}, err
	}
	id, text, hash := newSecret(tokenPrefix)
	t := store.Token{ID: id, User: in.User, Name: in.Name, Hash: hash, Scopes: in.Scopes, Created: a.now().UTC(), Window: in.Window}
	n := note{t.User, "token created: " + describeToken(t)}
	err := a.change(ctx, &n, func(state store.State) (store.Change, error) {
		if a.current.Load().account(t.User) == nil || t.User == "" {
			return store.Change{}, noUser(t.User)
		}
		for _, other := range state.Tokens {
			if other.User == t.User && other.Name == t.Name {
				return store.Change{}, conflict(fmt.Sprintf("user %q has a token %q already", t.User, t.Name),
					"take another --name, or revoke it first: regctl token revoke")
			}
		}
		return store.Change{PutTokens: []store.Token{t}}, nil
	})
	if err != nil {
		return CreatedToken{}, err
	}
	return CreatedToken{TokenInfo: a.namedInfo(t), Secret: text}, nil
}

func (a *admin) revokeTokens(ctx context.Context, in Revocation) ([]TokenInfo, error) {
	wanted, err := in.selector()
	if err != nil {
		return nil, err
	}
	var gone []TokenInfo
	n := note{account: in.User}
	err = a.change(ctx, &n, func(state store.State) (change store.Change, err error) {
		if in.User != "" && a.current.Load().account(in.User) == nil {
			return change, noUser(in.User)
		}
		gone = slices.DeleteFunc(a.tokens(state), func(t TokenInfo) bool { return !wanted(t) })
		if len(gone) == 0 && !in.All {
			return change, notFound("no such token", "list them: regctl token list")
		}
		var names []string
		for _, t := range gone {
			n.account = t.User
			names = append(names, strings.TrimSpace(t.ID+" "+t.Name))
			if t.Kind == NamedToken {
				change.DropTokens = append(change.DropTokens, t.ID)
			} else {
				change.DropRefresh = append(change.DropRefresh, t.ID)
			}
		}
		n.what = "tokens revoked: " + strings.Join(names, ", ")
		return change, nil
	})
	return gone, err
}

// selector returns what the revocation is about.
func (r Revocation) selector() (func(TokenInfo) bool, error) {
	switch {
	case r.ID != "" && r.User == "" && r.Name == "" && !r.All:
		return func(t TokenInfo) bool { return t.ID == r.ID }, nil
	case r.ID == "" && r.User != "" && r.Name != "" && !r.All:
		return func(t TokenInfo) bool { return t.User == r.User && t.Kind == NamedToken && t.Name == r.Name }, nil
	case r.ID == "" && r.User != "" && r.Name == "" && r.All:
		return func(t TokenInfo) bool { return t.User == r.User }, nil
	default:
		return nil, usage("want an id, a user and the name of a token, or a user and all")
	}
}
