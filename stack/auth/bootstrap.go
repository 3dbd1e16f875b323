package auth

import (
	"context"
	"errors"

	"regctl/stack/auth/store"
)

// DefaultRules are the access list of a new installation: admins may do
// everything, and two labels say what all others may do with which
// repositories.
func DefaultRules() []store.Rule {
	full, readOnly := "${labels:full-access}", "${labels:read-only-access}"
	return []store.Rule{
		{Seq: 1, Match: store.Match{Labels: map[string]string{AdminLabel: AdminValue}}, Actions: []string{"*"}, Comment: "admins"},
		{Seq: 10, Match: store.Match{Name: &full}, Actions: []string{"*"}, Comment: "full access"},
		{Seq: 20, Match: store.Match{Name: &readOnly}, Actions: []string{"pull"}, Comment: "pull access"},
	}
}

// errNotEmpty ends a bootstrap that has nothing to do.
var errNotEmpty = errors.New("the store is not empty")

// Bootstrap gives an empty store the default rules and a first admin, both or
// neither. It reports whether it did: a store with users or rules is left as it
// is.
func Bootstrap(ctx context.Context, s *Server, adminName, password string) (bool, error) {
	if !emptyStore(s.State()) {
		return false, nil
	}
	u := store.User{
		Name: adminName, Created: s.now().UTC(), Comment: "first admin",
		Labels: map[string][]string{AdminLabel: {AdminValue}},
	}
	if err := CheckUserName(adminName); err != nil {
		return false, err
	}
	var err error
	if u.PasswordHash, err = hashNew(password, ""); err != nil {
		return false, err
	}
	a := &admin{Server: s}
	n := note{adminName, "new installation: first admin and default rules"}
	err = a.change(ctx, &n, func(state store.State) (store.Change, error) {
		if !emptyStore(state) {
			return store.Change{}, errNotEmpty
		}
		return store.Change{PutUsers: []store.User{u}, PutRules: DefaultRules()}, nil
	})
	if errors.Is(err, errNotEmpty) {
		return false, nil
	}
	return err == nil, err
}

func emptyStore(state store.State) bool {
	return len(state.Users) == 0 && len(state.Rules) == 0 && len(state.Refused) == 0
}

// firstAdmin is the input of bootstrap.
type firstAdmin struct {
	Name     string `json:"username"`
	Password string `json:"password"`
}

// bootstrapped is its answer.
type bootstrapped struct {
	Made bool `json:"made"`
}

func (a *admin) bootstrap(ctx context.Context, in firstAdmin) (bootstrapped, error) {
	made, err := Bootstrap(ctx, a.Server, in.Name, in.Password)
	return bootstrapped{made}, err
}

// Bootstrap gives an empty store the default rules and a first admin, both or
// neither. It reports whether it did: a store with users or rules is left as it
// is.
func (c *Client) Bootstrap(ctx context.Context, admin, password string) (made bool, err error) {
	answer, err := call[bootstrapped](ctx, c, "bootstrap", firstAdmin{admin, password})
	return answer.Made, err
}
