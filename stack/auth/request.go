package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxBody bounds a token request's form. Docker's are below 1 KiB; a push
	// that mounts from dozens of repositories stays below 16 KiB.
	maxBody    = 64 << 10
	maxScopes  = 128
	maxActions = 32 // in one scope
	// maxText bounds each text that a client chooses, in bytes: registries take
	// names of 255.
	maxText = 1024
)

// tokenRequest is what a client asks, in whichever of the protocol's forms: GET
// with Basic credentials (registry v2 token specification), or a POSTed form
// (OAuth2, RFC 6749 sections 4.3 and 6).
type tokenRequest struct {
	addr     netip.Addr
	account  string
	password string
	service  string
	scopes   []scope

	grantType    string // "", "password" or "refresh_token"
	refreshToken string
	offline      bool // asks for a refresh token
	clientID     string
	warnings     []string
}

// scope is one requested resource: type(class):name:actions.
type scope struct {
	kind, class, name string
	actions           []string // sorted
}

func (s scope) String() string {
	kind := s.kind
	if s.class != "" {
		kind += "(" + s.class + ")"
	}
	return kind + ":" + s.name + ":" + strings.Join(s.actions, ",")
}

// badRequest is an error that is the client's fault. Its text goes to the client.
type badRequest struct{ reason string }

func (e badRequest) Error() string { return e.reason }

// errTooLarge answers a form above maxBody. docker_auth ignored such a body and
// served the rest of the request.
var errTooLarge = errors.New("request body too large")

// parseTokenRequest reads a request. The address must be known already.
func parseTokenRequest(w http.ResponseWriter, r *http.Request, addr netip.Addr) (*tokenRequest, error) {
	if err := readBody(w, r); err != nil {
		return nil, err
	}
	// Broken escapes and pairs with a semicolon are dropped silently; the good
	// pairs stay.
	_ = r.ParseForm()
	_ = r.ParseMultipartForm(maxBody)
	q := &tokenRequest{addr: addr, service: r.Form.Get("service"), clientID: r.Form.Get("client_id")}
	q.offline = r.Form.Get("offline_token") == "true"
	if err := q.readCredentials(r); err != nil {
		return nil, err
	}
	if max(len(q.account), len(q.service), len(q.clientID)) > maxText {
		return nil, badRequest{fmt.Sprintf("account, service or client_id is longer than %d bytes", maxText)}
	}
	var err error
	q.scopes, err = parseScopes(r.Form["scope"])
	return q, err
}

// readBody reads the whole body: one that is too large, or breaks off, is not
// decided on.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > maxBody {
		w.Header().Set("Connection", "close") // nobody reads the rest
		return errTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return badRequest{"the body breaks off or is malformed"}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// readCredentials finds account and password by docker_auth's order: Basic, then
// for POST the form. Anything else is the anonymous account.
func (q *tokenRequest) readCredentials(r *http.Request) error {
	user, password, basic := r.BasicAuth()
	if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); !basic && strings.EqualFold(scheme, "basic") {
		q.warnings = append(q.warnings, "undecodable Basic credentials: treated as anonymous")
	}
	if r.Method == http.MethodPost {
		if err := q.readGrant(r); err != nil {
			return err
		}
		if u, p := r.Form.Get("username"), r.Form.Get("password"); !basic && u != "" && p != "" {
			user, password = u, p
			if r.PostForm.Get("password") == "" && r.URL.Query().Has("password") {
				q.warnings = append(q.warnings, "password in the query string: proxies log it")
			}
		}
	}
	q.account, q.password = user, password
	if account := r.Form.Get("account"); account != "" {
		if basic && account != user {
			return badRequest{fmt.Sprintf("user and account are not the same (%q vs %q)", user, account)}
		}
		q.account = account
	}
	return nil
}

func (q *tokenRequest) readGrant(r *http.Request) error {
	q.grantType = r.Form.Get("grant_type")
	q.refreshToken = r.Form.Get("refresh_token")
	q.offline = q.offline || r.Form.Get("access_type") == "offline"
	switch q.grantType {
	case "", "password":
	case "refresh_token":
		if q.refreshToken == "" {
			return badRequest{"grant_type refresh_token without refresh_token"}
		}
	default:
		return badRequest{fmt.Sprintf("unsupported grant_type %q", q.grantType)}
	}
	return nil
}

// resourceType is the grammar of the token specification; docker_auth found the
// type anywhere in the field.
var resourceType = regexp.MustCompile(`^([a-z0-9]+)(?:\(([a-z0-9]+)\))?$`)

// parseScopes reads all values of the scope parameter, each a list separated by
// single spaces. If the first is empty there are no scopes at all.
func parseScopes(values []string) ([]scope, error) {
	if len(values) == 0 || values[0] == "" {
		return nil, nil
	}
	var scopes []scope
	for _, value := range values {
		for text := range strings.SplitSeq(value, " ") {
			if len(scopes) == maxScopes {
				return nil, badRequest{fmt.Sprintf("more than %d scopes", maxScopes)}
			}
			s, err := parseScope(text)
			if err != nil {
				return nil, err
			}
			scopes = append(scopes, s)
		}
	}
	return scopes, nil
}

func parseScope(text string) (scope, error) {
	if text == "" {
		return scope{}, badRequest{"malformed scope request"}
	}
	parts := strings.SplitN(text, ":", 5)
	var name, actions string
	switch len(parts) {
	case 3:
		name, actions = parts[1], parts[2]
	case 4: // the name begins with a host and port
		name, actions = parts[1]+":"+parts[2], parts[3]
	default:
		return scope{}, badRequest{fmt.Sprintf("invalid scope: %q", text)}
	}
	kind := resourceType.FindStringSubmatch(parts[0])
	if kind == nil {
		return scope{}, badRequest{"malformed scope request"}
	}
	if strings.Count(actions, ",") >= maxActions {
		return scope{}, badRequest{fmt.Sprintf("more than %d actions in a scope", maxActions)}
	}
	if max(len(kind[0]), len(name), len(actions)) > maxText {
		return scope{}, badRequest{fmt.Sprintf("a part of a scope is longer than %d bytes", maxText)}
	}
	s := scope{kind: kind[1], class: kind[2], name: name, actions: strings.Split(actions, ",")}
	slices.Sort(s.actions)
	return s, nil
}

// clientAddr is the address that rules and budgets see: the TCP peer, or what a
// trusted proxy says in the configured header. docker_auth believed that header
// from anyone.
func (c *ServerConfig) clientAddr(r *http.Request) (netip.Addr, error) {
	peer, fromSocket := peerAddr(r.RemoteAddr)
	if c.RealIPHeader == "" || !fromSocket && !c.trusts(peer) {
		if !peer.IsValid() && !fromSocket {
			return netip.Addr{}, badRequest{fmt.Sprintf("unable to parse remote addr %s", r.RemoteAddr)}
		}
		return peer, nil
	}
	// Several lines of a header are one list (RFC 9110 section 5.3). docker_auth
	// looked at the first only, which a client can send ahead of its proxy's.
	items := strings.Split(strings.Join(r.Header.Values(c.RealIPHeader), ","), ",")
	pos := c.RealIPPos
	if pos < 0 {
		pos = max(0, len(items)+pos)
	}
	if pos >= len(items) || strings.TrimSpace(items[pos]) == "" {
		return netip.Addr{}, badRequest{"client address not provided"}
	}
	text := strings.TrimSpace(items[pos])
	addr, ok := parseAddr(text)
	if !ok {
		return netip.Addr{}, badRequest{fmt.Sprintf("unable to parse remote addr %s", text)}
	}
	return addr, nil
}

func (c *ServerConfig) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// peerAddr parses http.Request.RemoteAddr, which is "@" or empty on a unix
// socket. Whoever may open the socket is a trusted proxy.
func peerAddr(remote string) (addr netip.Addr, fromSocket bool) {
	if remote == "" || strings.HasPrefix(remote, "@") || strings.HasPrefix(remote, "/") {
		return netip.Addr{}, true
	}
	addr, _ = parseAddr(remote)
	return addr, false
}

// parseAddr accepts v4, v6, v4:port and [v6]:port; no zones, no names. An
// IPv4-mapped IPv6 address is the IPv4 address.
func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(text)
		if splitErr != nil {
			return netip.Addr{}, false
		}
		addr, err = netip.ParseAddr(host)
	}
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}
