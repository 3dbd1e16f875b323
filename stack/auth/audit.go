package auth

import (
	"fmt"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

// Outcome classifies an audited event.
type Outcome string

// The outcomes of token requests, and of a change through the admin socket.
const (
	Granted    Outcome = "granted"     // all that was asked, or a login that asked nothing
	Partial    Outcome = "partial"     // some of what was asked
	Denied     Outcome = "denied"      // authenticated, and nothing of what was asked granted
	Refused    Outcome = "refused"     // not authenticated (401)
	Throttled  Outcome = "throttled"   // too many failures (429)
	Busy       Outcome = "busy"        // too many passwords to hash (503)
	BadRequest Outcome = "bad_request" // 400, 413
	Failed     Outcome = "failed"      // the server's own trouble (500)
	Changed    Outcome = "changed"     // a user, rule or token was changed
)

// Record is one line of the audit log, as JSON. It never holds a secret. What
// the server decided comes first and what the client chose after it, and JSON
// escapes line breaks and quotes, so no name can forge a line or a field.
type Record struct {
	Time    time.Time     `json:"time"`
	Outcome Outcome       `json:"outcome"`
	Client  string        `json:"client,omitempty"` // address
	Request string        `json:"request,omitempty"`
	Via     string        `json:"via,omitempty"` // how the account was proven
	Reason  string        `json:"reason,omitempty"`
	TokenID string        `json:"jti,omitempty"`
	Expires *time.Time    `json:"exp,omitempty"`
	Account string        `json:"account"`
	Service string        `json:"service,omitempty"`
	Scopes  []RecordScope `json:"scopes,omitempty"`
}

// RecordScope is one requested scope and the answer to it.
type RecordScope struct {
	Asked   string   `json:"asked"`
	Granted []string `json:"granted"`
	// Rule is the seq of the rule that decided, with its comment; empty when
	// none matched.
	Rule string `json:"rule,omitempty"`
	// Denial says why not all that was asked is granted.
	Denial string `json:"denial,omitempty"`
}

// describe notes what is asked, before anything is known about the client.
func (rec *Record) describe(q *tokenRequest) {
	rec.Account, rec.Service = q.account, q.service
	for _, sc := range q.scopes {
		rec.Scopes = append(rec.Scopes, RecordScope{Asked: sc.String()})
	}
	rec.Reason = strings.Join(q.warnings, "; ")
}

// What is kept of a request whose sender proved nothing: enough to see what was
// tried, and too little to fill the disk with.
const (
	clippedScopes = 8
	clippedText   = 128 // bytes
)

// clip shortens what a client chose.
func (rec *Record) clip() {
	for _, text := range []*string{&rec.Account, &rec.Service, &rec.Reason} {
		*text = clipped(*text)
	}
	if more := len(rec.Scopes) - clippedScopes; more > 0 {
		rec.Scopes = append(rec.Scopes[:clippedScopes], RecordScope{Asked: fmt.Sprintf("and %d more", more)})
	}
	for i := range rec.Scopes {
		rec.Scopes[i].Asked = clipped(rec.Scopes[i].Asked)
	}
}

func clipped(text string) string {
	if len(text) <= clippedText {
		return text
	}
	return text[:clippedText] + "…"
}

// granted notes the answer.
func (rec *Record) granted(grants []grant, c *claims) {
	full, none := true, true
	for i, g := range grants {
		rec.Scopes[i].Granted = c.Access[i].Actions
		rec.Scopes[i].Rule = ruleName(g.Rule)
		rec.Scopes[i].Denial = g.denial()
		full = full && g.full()
		none = none && len(g.granted) == 0
	}
	switch {
	case full:
		rec.Outcome = Granted
	case none:
		rec.Outcome = Denied
	default:
		rec.Outcome = Partial
	}
	exp := time.Unix(c.Expires, 0).UTC()
	rec.TokenID, rec.Expires = c.ID, &exp
}

func ruleName(r *store.Rule) string {
	switch {
	case r == nil:
		return ""
	case r.Comment == "":
		return fmt.Sprint(r.Seq)
	default:
		return fmt.Sprintf("%d %s", r.Seq, r.Comment)
	}
}
