package auth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"
)

// The prefixes of our secrets let secret scanners find leaked ones, and tell a
// named token from a password without a look-up.
const (
	tokenPrefix   = "regctl_"
	refreshPrefix = "regctlr_"
)

// principal is an authenticated account and how it proved itself.
type principal struct {
	*account
	via    string      // "anonymous", "password", "token NAME" or "refresh"
	limits scopeLimits // of a named token; nil narrows nothing
	ends   time.Time   // when the account or the token ends; zero is never
}

// viaNobody is how the anonymous account is proven: not at all.
const viaNobody = "anonymous"

// denied is a failed authentication. Client is told to the client: only those
// who proved a password learn why it did not help.
type denied struct{ client, reason string }

func (d *denied) Error() string { return d.reason }

// throttled is a refusal to even look at the password.
type throttled struct{ wait time.Duration }

func (t *throttled) Error() string {
	return fmt.Sprintf("too many failed logins; try again in %s", t.wait.Round(time.Second))
}

const authFailed = "Auth failed."

// authenticate finds out who asks. Its error is a *denied, a *throttled or
// errBusy.
func (s *Server) authenticate(ctx context.Context, snap *snapshot, q *tokenRequest) (*principal, error) {
	acct := snap.account(q.account)
	switch id, hash, isSecret := parseSecret(tokenPrefix, q.password); {
	case q.grantType == "refresh_token":
		p, err := s.byRefreshToken(snap, q)
		return p, s.charge(q, err)
	case acct != nil && acct.open:
		return s.admit(&principal{account: acct, via: openVia(acct), ends: acct.Expires})
	case isSecret:
		p, err := s.byNamedToken(snap, acct, id, hash)
		return p, s.charge(q, err)
	case acct == nil && q.account == "": // spares the time: nothing is to be found out
		return nil, &denied{authFailed, "anonymous access is not configured"}
	}
	if err := s.provePassword(ctx, snap, acct, q); err != nil {
		return nil, err
	}
	return s.admit(&principal{account: acct, via: "password", ends: acct.Expires})
}

func openVia(a *account) string {
	if a.name == "" {
		return viaNobody
	}
	return "no password set"
}

// provePassword returns nil when the password is the account's, which may be
// nil for an unknown one.
func (s *Server) provePassword(ctx context.Context, snap *snapshot, acct *account, q *tokenRequest) error {
	var hash string
	reason := "unknown account"
	if acct != nil {
		hash, reason = acct.hash, "wrong password"
	}
	cred := s.creds.credential(q.account, hash, q.password)
	if s.creds.known(cred) {
		return nil
	}
	// A client's parallel requests with one credential share one hash and one
	// failure; different guesses each take their own from the budget first.
	_, err, _ := s.logins.Do(string(cred[:])+q.addr.String(), func() (any, error) {
		wait, giveBack := s.budget.take(q.addr, q.account)
		if wait > 0 {
			return nil, &throttled{wait}
		}
		ok, err := s.creds.check(ctx, cred, hash, q.password, snap.maxCost)
		if ok || err != nil { // proven, or not tried
			giveBack()
		}
		if err == nil && !ok {
			err = &denied{authFailed, reason}
		}
		return nil, err
	})
	return err
}

// charge takes a failed attempt with one of our own secrets from the budget.
// Nobody can guess those, so it need not be taken beforehand.
func (s *Server) charge(q *tokenRequest, err error) error {
	if d, ok := err.(*denied); ok && d.client == authFailed {
		if wait, _ := s.budget.take(q.addr, q.account); wait > 0 {
			return &throttled{wait}
		}
	}
	return err
}

// admit lets a proven account in, unless it is disabled or outside its dates.
func (s *Server) admit(p *principal) (*principal, error) {
	switch standing(p.disabled, p.Window, s.now()) {
	case Disabled:
		return nil, &denied{"Auth failed: this account is disabled.", "account disabled"}
	case Pending:
		return nil, &denied{"Auth failed: this account is not valid yet.", "account begins " + stamp(p.NotBefore)}
	case Expired:
		return nil, &denied{"Auth failed: this account has expired.", "account expired " + stamp(p.Expires)}
	default:
		return p, nil
	}
}

// byNamedToken checks the secret of a robot or second machine. The secret is 32
// random bytes, so a plain hash is enough and no time is wasted on it.
func (s *Server) byNamedToken(snap *snapshot, acct *account, id string, hash []byte) (*principal, error) {
	t, ok := snap.state.Tokens[id]
	switch {
	case !ok || subtle.ConstantTimeCompare(t.Hash, hash) != 1:
		return nil, &denied{authFailed, "unknown or revoked token"}
	case acct == nil || t.User != acct.name:
		return nil, &denied{authFailed, "token of another account"}
	case t.Pending(s.now()):
		return nil, &denied{"Auth failed: this token is not valid yet.", "token begins " + stamp(t.NotBefore)}
	case t.Over(s.now()):
		return nil, &denied{"Auth failed: this token has expired.", "token expired " + stamp(t.Expires)}
	}
	s.uses.note(id, s.now())
	return s.admit(&principal{
		account: acct, via: "token " + t.Name,
		limits: snap.limits[id], ends: sooner(acct.Expires, t.Expires),
	})
}

// byRefreshToken checks an OAuth2 refresh token, which is bound to an account
// and a service.
func (s *Server) byRefreshToken(snap *snapshot, q *tokenRequest) (*principal, error) {
	id, hash, ok := parseSecret(refreshPrefix, q.refreshToken)
	t, found := snap.state.Refresh[id]
	switch {
	case !ok || !found || subtle.ConstantTimeCompare(t.Hash, bindSecret(hash, snap.account(t.User))) != 1:
		return nil, &denied{authFailed, "unknown or revoked refresh token, or the password was changed"}
	case !snap.cfg.Token.Refresh:
		return nil, &denied{authFailed, "refresh tokens are switched off"}
	case t.Service != q.service:
		return nil, &denied{authFailed, "refresh token of another service"}
	case q.account != "" && q.account != t.User:
		return nil, &denied{authFailed, "refresh token of another account"}
	case !s.now().Before(t.Expires):
		return nil, &denied{"Auth failed: this login has expired.", "refresh token expired " + stamp(t.Expires)}
	}
	q.account = t.User
	acct := snap.account(t.User) // exists: the secret is bound to it
	s.uses.note(id, s.now())
	return s.admit(&principal{account: acct, via: "refresh", ends: sooner(acct.Expires, t.Expires)})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
