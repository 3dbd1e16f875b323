package auth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"regctl/stack/auth/store"
)

// note is what the audit log says of a change: what was done about which
// account.
type note struct{ account, what string }

// change changes the store and notes it. The note is read when edit has run.
func (a *admin) change(ctx context.Context, n *note, edit func(store.State) (store.Change, error)) error {
	if err := a.Change(ctx, edit); err != nil {
		return err
	}
	rec := &Record{Time: a.now(), Outcome: Changed, Reason: n.what, Account: n.account}
	if caller, ok := ctx.Value(callerKey{}).(string); ok {
		rec.Client, rec.Via = caller, "admin socket"
	}
	a.audit.write(rec)
	return nil
}

// describeUser tells the state of an account for the audit log.
func describeUser(u store.User) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(u.Labels)) {
		parts = append(parts, "label "+key+"="+strings.Join(u.Labels[key], ","))
	}
	if len(parts) == 0 {
		parts = []string{"no labels"}
	}
	if u.Disabled {
		parts = append(parts, "disabled")
	}
	return strings.Join(append(parts, describeWindow(u.Window)...), "; ")
}

func describeWindow(w store.Window) (parts []string) {
	if !w.NotBefore.IsZero() {
		parts = append(parts, "not before "+stamp(w.NotBefore))
	}
	if !w.Expires.IsZero() {
		parts = append(parts, "expires "+stamp(w.Expires))
	}
	return parts
}

// describeRule tells a rule for the audit log and for messages.
func describeRule(r store.Rule) string {
	actions := "denies"
	if len(r.Actions) > 0 {
		actions = strings.Join(r.Actions, ",")
	}
	parts := append([]string{fmt.Sprintf("%d %s", r.Seq, DescribeMatch(r.Match)), actions}, describeWindow(r.Window)...)
	return strings.Join(parts, "; ")
}

func describeToken(t store.Token) string {
	scopes := "no scopes of its own"
	if len(t.Scopes) > 0 {
		scopes = "scopes " + strings.Join(t.Scopes, " ")
	}
	return strings.Join(append([]string{t.ID + " " + t.Name, scopes}, describeWindow(t.Window)...), "; ")
}
