package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
)

// grant is the answer to one requested scope.
type grant struct {
	scope
	granted  []string
	Decision // of the rules, before a named token narrows it
}

// full reports whether every asked action is granted; a repeated one is granted
// once.
func (g *grant) full() bool {
	return !slices.ContainsFunc(g.actions, func(action string) bool { return !slices.Contains(g.granted, action) })
}

// denial says why not all that was asked is granted.
func (g *grant) denial() string {
	switch {
	case g.full():
		return ""
	case g.Limited:
		return "too large to tell whether the rule matches"
	case g.Rule == nil:
		return "no rule matches"
	case len(g.granted) < len(g.Actions):
		return "outside the scopes of the token"
	default:
		return "the rule grants no more"
	}
}

// authorize answers every requested scope, in order. Until is when the first of
// the grants ends; zero is never.
func (s *Server) authorize(snap *snapshot, who *principal, q *tokenRequest) (grants []grant, until time.Time) {
	now := s.now()
	until = who.ends
	for _, sc := range q.scopes {
		query := Query{
			Account: who.name, Type: sc.kind, Name: sc.name, Service: q.service,
			IP: q.addr, Labels: who.labels, Actions: sc.actions,
		}
		d := snap.decide(&query, now)
		granted := who.limits.narrow(query, d.Actions, now)
		if len(granted) > 0 {
			until = sooner(until, d.Until)
		}
		grants = append(grants, grant{sc, granted, d})
	}
	return grants, until
}

// decide asks one list after the other; a rule that matches ends it, whatever it
// grants.
func (snap *snapshot) decide(q *Query, now time.Time) (d Decision) {
	var begins time.Time // of a rule that will hide those of later lists
	for _, list := range snap.lists() {
		d = list.Decide(q, now)
		d.Until = sooner(d.Until, begins)
		if d.Rule != nil {
			break
		}
		begins = d.Until
	}
	return d
}

// clientMinimum is what Docker, skopeo and regclient make of any smaller
// expires_in. The registry's own leeway of 60 s makes it true.
const clientMinimum = 60

// issue makes the token, and a refresh token where one is due.
func (s *Server) issue(ctx context.Context, snap *snapshot, who *principal, q *tokenRequest, grants []grant, until time.Time, rec *Record) (*tokenResponse, error) {
	now := s.now()
	iat := now.Unix()
	exp := now.Add(snap.cfg.Token.Expiration).Unix()
	if !until.IsZero() {
		exp = min(exp, until.Unix())
	}
	c := &claims{
		Issuer: snap.cfg.Token.Issuer, Subject: who.name, Audience: q.service,
		Expires: exp, NotBefore: iat - 10, IssuedAt: iat, ID: rand.Text(),
		Access: make([]access, len(grants)),
	}
	for i, g := range grants {
		c.Access[i] = access{Type: g.kind, Class: g.class, Name: g.name, Actions: g.granted}
		if g.granted == nil {
			c.Access[i].Actions = []string{}
		}
	}
	token, err := snap.signer.sign(c, now)
	if err != nil {
		return nil, fmt.Errorf("signing the token: %w", err)
	}
	answer := &tokenResponse{AccessToken: token, Token: token, ExpiresIn: max(clientMinimum, exp-iat)}
	if q.grantType != "" {
		granted := grantedScopes(grants)
		answer.Scope = &granted
	}
	if answer.RefreshToken, err = s.refreshToken(ctx, snap, who, q); err != nil {
		return nil, err
	}
	rec.granted(grants, c)
	return answer, nil
}

// grantedScopes is the scope of an OAuth2 answer: what was granted, of what was
// asked.
func grantedScopes(grants []grant) string {
	var out []string
	for _, g := range grants {
		if len(g.granted) > 0 {
			out = append(out, scope{g.kind, g.class, g.name, g.granted}.String())
		}
	}
	return strings.Join(out, " ")
}
