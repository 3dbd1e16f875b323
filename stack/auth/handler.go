package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers the public paths: / for probes, /auth, /auth/token (for
// registries with autoredirect) and /token (OAuth2, POST only), each below the
// configured prefix. Paths are compared exactly.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	snap := s.current.Load()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if snap.cfg.Server.HSTS {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	path, _ := strings.CutPrefix(r.URL.Path, snap.cfg.Server.PathPrefix)
	if len(path) == len(r.URL.Path) && snap.cfg.Server.PathPrefix != "" {
		path = "" // outside the prefix
	}
	switch {
	case path == "/auth", path == "/auth/token", path == "/token" && r.Method == http.MethodPost:
		s.serveToken(w, r, snap)
	case path == "/token":
		h.Set("Allow", http.MethodPost)
		plain(w, http.StatusMethodNotAllowed, "Use POST.")
	case path == "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<h1>%s</h1>\n", html.EscapeString(snap.cfg.Token.Issuer))
	default:
		plain(w, http.StatusNotFound, "Not found")
	}
}

// tokenResponse is the answer of the token endpoint. Old clients read token,
// containerd access_token. There is no issued_at: clients would compare it with
// their own clock.
type tokenResponse struct {
	AccessToken  string  `json:"access_token"`
	Token        string  `json:"token"`
	ExpiresIn    int64   `json:"expires_in"`
	RefreshToken string  `json:"refresh_token,omitempty"`
	Scope        *string `json:"scope,omitempty"` // OAuth2 only (RFC 6749 section 5.1)
}

// encode is the JSON of the answer. Tokens are in the alphabet of base64url, so
// they go in as they are: encoding/json would look at each byte of a token with
// x5c, which has more than a thousand, twice.
func (a *tokenResponse) encode() []byte {
	b := make([]byte, 0, 2*len(a.Token)+256)
	b = append(append(b, `{"access_token":"`...), a.AccessToken...)
	b = append(append(b, `","token":"`...), a.Token...)
	b = strconv.AppendInt(append(b, `","expires_in":`...), a.ExpiresIn, 10)
	if a.RefreshToken != "" {
		b = append(append(b, `,"refresh_token":"`...), a.RefreshToken...)
		b = append(b, '"')
	}
	if a.Scope != nil {
		scope, _ := json.Marshal(*a.Scope) // a string: cannot fail
		b = append(append(b, `,"scope":`...), scope...)
	}
	return append(b, '}')
}

// serveToken answers one token request and records what was decided.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, snap *snapshot) {
	start := time.Now()
	rec := &Record{Time: s.now(), Request: rand.Text()[:12]}
	if body, err := s.answerToken(w, r, snap, rec); err != nil {
		s.refuse(w, snap, rec, err)
	} else {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")               // RFC 6749 section 5.1
		w.Header().Set("Content-Length", strconv.Itoa(len(body))) // or net/http sends it in chunks
		w.Write(body)
	}
	s.metrics.observe(rec.Outcome, time.Since(start))
	if rec.Outcome == Failed {
		s.log.Error("token request failed", "request", rec.Request, "reason", rec.Reason)
	}
	if rec.Via == "" || rec.Via == viaNobody {
		rec.clip()
	}
	s.audit.write(rec)
}

// answerToken returns the body of the answer, which has a token.
func (s *Server) answerToken(w http.ResponseWriter, r *http.Request, snap *snapshot, rec *Record) ([]byte, error) {
	addr, err := snap.cfg.Server.clientAddr(r)
	if err != nil {
		return nil, err
	}
	if addr.IsValid() {
		rec.Client = addr.String()
	}
	q, err := parseTokenRequest(w, r, addr)
	if err != nil {
		return nil, err
	}
	rec.describe(q)
	who, err := s.authenticate(r.Context(), snap, q)
	rec.Account = q.account // a refresh token tells it
	if err != nil {
		return nil, err
	}
	rec.Via = who.via
	grants, until := s.authorize(snap, who, q)
	answer, err := s.issue(r.Context(), snap, who, q, grants, until, rec)
	if err != nil {
		return nil, err
	}
	return answer.encode(), nil
}

// refuse writes the answer for err, whose kind says what it may tell.
func (s *Server) refuse(w http.ResponseWriter, snap *snapshot, rec *Record, err error) {
	rec.Reason = err.Error()
	var (
		bad  badRequest
		no   *denied
		wait *throttled
	)
	switch {
	case errors.As(err, &bad):
		rec.Outcome = BadRequest
		plain(w, http.StatusBadRequest, "Bad request: "+bad.reason)
	case errors.Is(err, errTooLarge):
		rec.Outcome = BadRequest
		plain(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body over %d bytes", maxBody))
	case errors.As(err, &no):
		rec.Outcome = Refused
		w.Header()["WWW-Authenticate"] = []string{"Basic realm=" + quoted(snap.cfg.Token.Issuer)}
		plain(w, http.StatusUnauthorized, no.client)
	case errors.As(err, &wait):
		rec.Outcome = Throttled
		retryAfter(w, http.StatusTooManyRequests, wait.wait, wait.Error())
	case errors.Is(err, errBusy):
		rec.Outcome = Busy
		retryAfter(w, http.StatusServiceUnavailable, time.Second, "Too many logins at once; try again.")
	default:
		rec.Outcome = Failed
		plain(w, http.StatusInternalServerError, "Internal error, request "+rec.Request)
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

func retryAfter(w http.ResponseWriter, status int, wait time.Duration, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	plain(w, status, text)
}

// quoted makes a quoted-string of RFC 9110 section 5.6.4.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ").Replace(text) + `"`
}
