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

// keepAnAdmin refuses a change from old to next (nil removes it) that takes
// away the last admin who can log in, now or by giving it an earlier end.
func (a *admin) keepAnAdmin(old store.User, next *store.User) error {
	now := a.now()
	usable := func(labels map[string][]string, disabled bool, w store.Window) bool {
		return slices.Contains(labels[AdminLabel], AdminValue) && standing(disabled, w, now) == Active
	}
	if !usable(old.Labels, old.Disabled, old.Window) {
		return nil
	}
	if next != nil && usable(next.Labels, next.Disabled, next.Window) && !endsEarlier(next.Expires, old.Expires) {
		return nil
	}
	snap := a.current.Load()
	for name := range snap.names() {
		if other := snap.account(name); name != old.Name && usable(other.labels, other.disabled, other.Window) {
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
