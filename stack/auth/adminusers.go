package auth

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"regctl/stack/auth/store"
)

// Source says where an account or a rule is kept.
type Source string

// Only what is in the store can be changed; the configuration comes first.
const (
	SourceStore  Source = "store"
	SourceConfig Source = "config"
)

// Standing says whether an account or a token can be used now.
type Standing string

// The standings of accounts and tokens.
const (
	Active   Standing = "active"
	Disabled Standing = "disabled"
	Pending  Standing = "pending" // before its not_before
	Expired  Standing = "expired"
)

func standing(disabled bool, w store.Window, now time.Time) Standing {
	switch {
	case disabled:
		return Disabled
	case w.Over(now):
		return Expired
	case w.Pending(now):
		return Pending
	default:
		return Active
	}
}

// UserInfo is an account as the admin API shows it: without its password.
type UserInfo struct {
	store.User
	Source   Source   `json:"source"`
	Standing Standing `json:"standing"`
}

// UserName is the input of operations on one account.
type UserName struct {
	Name string `json:"username"`
}

// NewUser is an account to create, with a password or the bcrypt hash of one.
type NewUser struct {
	Name         string              `json:"username"`
	Password     string              `json:"password,omitempty"`
	PasswordHash string              `json:"password_hash,omitempty"`
	Labels       map[string][]string `json:"labels,omitempty"`
	Comment      string              `json:"comment,omitempty"`
	store.Window
}

// UserEdit is a change of an account. What is nil stays. Clear names fields to
// empty first: labels, comment, expires, not_before.
type UserEdit struct {
	Name      string     `json:"username"`
	Clear     []string   `json:"clear,omitempty"`
	Comment   *string    `json:"comment,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Disabled  *bool      `json:"disabled,omitempty"`
	// SetLabels replaces all values of its keys, AddLabels adds values, and
	// RemoveLabels removes values, or the whole key where it lists none. They are
	// done in this order.
	SetLabels    map[string][]string `json:"set_labels,omitempty"`
	AddLabels    map[string][]string `json:"add_labels,omitempty"`
	RemoveLabels map[string][]string `json:"remove_labels,omitempty"`
}

// NewPassword is a new password of an account, or the bcrypt hash of one.
type NewPassword struct {
	Name         string `json:"username"`
	Password     string `json:"password,omitempty"`
	PasswordHash string `json:"password_hash,omitempty"`
}

// Removed tells what went with an account.
type Removed struct {
	Tokens  int `json:"tokens"`
	Refresh int `json:"refresh_tokens"`
}

func (a *admin) userInfo(u store.User, source Source) UserInfo {
	return UserInfo{User: u, Source: source, Standing: standing(u.Disabled, u.Window, a.now())}
}

func (a *admin) listUsers(context.Context, nothing) ([]UserInfo, error) {
	snap := a.current.Load()
	all := []UserInfo{}
	for name, u := range snap.cfg.Users {
		shown := store.User{Name: name, Labels: u.Labels, Disabled: u.Disabled, Window: u.Window}
		all = append(all, a.userInfo(shown, SourceConfig))
	}
	for name, u := range snap.state.Users {
		if _, hidden := snap.cfg.Users[name]; !hidden {
			all = append(all, a.userInfo(u, SourceStore))
		}
	}
	slices.SortFunc(all, func(a, b UserInfo) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (a *admin) showUser(ctx context.Context, in UserName) (UserInfo, error) {
	all, err := a.listUsers(ctx, nothing{})
	if err != nil {
		return UserInfo{}, err
	}
	i := slices.IndexFunc(all, func(u UserInfo) bool { return u.Name == in.Name })
	if i < 0 {
		return UserInfo{}, noUser(in.Name)
	}
	return all[i], nil
}

func noUser(name string) error {
	return notFound(fmt.Sprintf("no user %q", name), "list them: regctl user list")
}

// storedUser finds an account that can be changed.
func (a *admin) storedUser(state store.State, name string) (store.User, error) {
	if _, static := a.current.Load().cfg.Users[name]; static {
		return store.User{}, conflict(fmt.Sprintf("user %q is defined in the configuration file", name), "change it there: section users")
	}
	u, ok := state.Users[name]
	if !ok {
		return store.User{}, noUser(name)
	}
	return u, nil
}

func (a *admin) addUser(ctx context.Context, in NewUser) (UserInfo, error) {
	u := store.User{Name: in.Name, Labels: tidyLabels(in.Labels), Comment: in.Comment, Created: a.now().UTC(), Window: in.Window}
	if err := checkUser(u); err != nil {
		return UserInfo{}, err
	}
	if err := checkWindow(u.Window, a.now()); err != nil {
		return UserInfo{}, err
	}
	var err error
	if u.PasswordHash, err = hashNew(in.Password, in.PasswordHash); err != nil {
		return UserInfo{}, err
	}
	n := note{u.Name, "user added: " + describeUser(u)}
	err = a.change(ctx, &n, func(state store.State) (store.Change, error) {
		_, static := a.current.Load().cfg.Users[u.Name]
		if _, exists := state.Users[u.Name]; exists || static {
			return store.Change{}, conflict(fmt.Sprintf("user %q exists already", u.Name), "change it: regctl user set, regctl user passwd")
		}
		// An account of this name may have been in the configuration, with tokens
		// that are not the new one's.
		return store.Change{PutUsers: []store.User{u}, DropTokens: tokenIDs(state, u.Name), DropRefresh: refreshIDs(state, u.Name)}, nil
	})
	return a.userInfo(u, SourceStore), err
}

func checkUser(u store.User) error {
	if err := CheckUserName(u.Name); err != nil {
		return err
	}
	if err := checkLabels(u.Labels); err != nil {
		return err
	}
	return checkComment(u.Comment)
}

func (a *admin) setUser(ctx context.Context, in UserEdit) (UserInfo, error) {
	n := note{account: in.Name}
	return a.editUser(ctx, &n, func(u *store.User) error {
		if err := in.apply(u); err != nil {
			return err
		}
		if in.Expires != nil || in.NotBefore != nil {
			if err := checkWindow(u.Window, a.now()); err != nil {
				return err
			}
		}
		n.what = "user changed: " + describeUser(*u)
		return checkUser(*u)
	})
}

func (a *admin) setPassword(ctx context.Context, in NewPassword) (UserInfo, error) {
	hash, err := hashNew(in.Password, in.PasswordHash)
	if err != nil {
		return UserInfo{}, err
	}
	return a.editUser(ctx, &note{in.Name, "password changed"}, func(u *store.User) error {
		u.PasswordHash = hash
		return nil
	})
}

// editUser changes the account that n is about. With its password, or when it
// is disabled, its refresh tokens end: they stand for a login with that password.
func (a *admin) editUser(ctx context.Context, n *note, edit func(*store.User) error) (UserInfo, error) {
	var u store.User
	err := a.change(ctx, n, func(state store.State) (store.Change, error) {
		old, err := a.storedUser(state, n.account)
		if err != nil {
			return store.Change{}, err
		}
		u = old
		u.Labels = copyLabels(old.Labels)
		if err := edit(&u); err != nil {
			return store.Change{}, err
		}
		if err := a.keepAnAdmin(old, &u); err != nil {
			return store.Change{}, err
		}
		change := store.Change{PutUsers: []store.User{u}}
		if u.PasswordHash != old.PasswordHash || u.Disabled && !old.Disabled {
			change.DropRefresh = refreshIDs(state, n.account)
		}
		return change, nil
	})
	return a.userInfo(u, SourceStore), err
}

func (a *admin) removeUser(ctx context.Context, in UserName) (Removed, error) {
	var change store.Change
	err := a.change(ctx, &note{in.Name, "user removed with all tokens"}, func(state store.State) (store.Change, error) {
		u, err := a.storedUser(state, in.Name)
		if err != nil {
			return store.Change{}, err
		}
		if err := a.keepAnAdmin(u, nil); err != nil {
			return store.Change{}, err
		}
		change = store.Change{DropUsers: []string{in.Name}, DropTokens: tokenIDs(state, in.Name), DropRefresh: refreshIDs(state, in.Name)}
		return change, nil
	})
	return Removed{Tokens: len(change.DropTokens), Refresh: len(change.DropRefresh)}, err
}

func tokenIDs(state store.State, user string) (ids []string) {
	for id, t := range state.Tokens {
		if t.User == user {
			ids = append(ids, id)
		}
	}
	return ids
}

func refreshIDs(state store.State, user string) (ids []string) {
	for id, t := range state.Refresh {
		if t.User == user {
			ids = append(ids, id)
		}
	}
	return ids
}

// apply changes u as e says.
func (e UserEdit) apply(u *store.User) error {
	for _, field := range e.Clear {
		switch field {
		case "labels":
			u.Labels = map[string][]string{}
		case "comment":
			u.Comment = ""
		case "expires":
			u.Expires = time.Time{}
		case "not_before":
			u.NotBefore = time.Time{}
		default:
			return usage(fmt.Sprintf("clear %q: want labels, comment, expires or not_before", field))
		}
	}
	setIf(&u.Comment, e.Comment)
	setIf(&u.NotBefore, e.NotBefore)
	setIf(&u.Expires, e.Expires)
	setIf(&u.Disabled, e.Disabled)
	for key, values := range e.SetLabels {
		u.Labels[key] = values
	}
	for key, values := range e.AddLabels {
		u.Labels[key] = append(u.Labels[key], values...)
	}
	for _, key := range slices.Sorted(maps.Keys(e.RemoveLabels)) {
		if err := removeLabel(u, key, e.RemoveLabels[key]); err != nil {
			return err
		}
	}
	u.Labels = tidyLabels(u.Labels)
	return nil
}

func setIf[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
