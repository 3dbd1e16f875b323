package auth

import (
	"fmt"
	"slices"
	"time"

	"regctl/stack/auth/store"
)

// An account with this label is an admin: the rule of a new installation lets
// it push, pull and delete everything and list the catalog.
const (
	AdminLabel = "role"
	AdminValue = "admin"
)

// usableAdmin reports whether an account is an admin that can log in at now.
func usableAdmin(labels map[string][]string, disabled bool, w store.Window, now time.Time) bool {
	return slices.Contains(labels[AdminLabel], AdminValue) && standing(disabled, w, now) == Active
}

// keepAnAdmin refuses a change from old to next (nil removes it) that takes
// away the last admin, now or by giving it an earlier end.
func (a *admin) keepAnAdmin(state store.State, old store.User, next *store.User) error {
	now := a.now()
	usable := func(u store.User) bool { return usableAdmin(u.Labels, u.Disabled, u.Window, now) }
	if !usable(old) || next != nil && usable(*next) && !endsEarlier(next.Expires, old.Expires) {
		return nil
	}
	for name, u := range state.Users {
		if name != old.Name && usable(u) {
			return nil
		}
	}
	for _, u := range a.current.Load().cfg.Users {
		if usableAdmin(u.Labels, u.Disabled, u.Window, now) {
			return nil
		}
	}
	return conflict(fmt.Sprintf("user %q is the last admin", old.Name),
		"make another one first: regctl user set NAME --add-label "+AdminLabel+"="+AdminValue)
}

// endsEarlier compares two ends, of which zero is never.
func endsEarlier(a, b time.Time) bool {
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
