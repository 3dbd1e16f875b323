package auth

import (
	"net/netip"
	"time"

	"regctl/stack/auth/store"
)

// Query is one question to the access list: may this account do these actions
// on that resource?
type Query struct {
	Account string
	Type    string
	Name    string
	Service string
	IP      netip.Addr          // unmapped: an IPv4-mapped IPv6 address is IPv4
	Labels  map[string][]string // of the account
	Actions []string            // sorted
}

// Decision is the answer of the access list.
type Decision struct {
	// Rule is the rule that decided, nil when none matched (which denies).
	Rule *store.Rule
	// Actions are the granted ones: sorted, a subset of the asked, maybe empty.
	Actions []string
	// Until is when this answer may change for the worse: the end of the
	// deciding rule, or the begin of an earlier rule that will match. Zero
	// means never.
	Until time.Time
}
