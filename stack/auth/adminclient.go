package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	clientTimeout = 30 * time.Second
	maxAnswer     = 256 << 20 // 100,000 users are some 30 MB
)

// ErrNoServer is in the error of every operation when no server answers.
var ErrNoServer = errors.New("no server answers")

// Client is the admin API seen from a command. Its errors are *AdminError when
// the server answered.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of the server at a unix socket. It connects when it
// is used.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return DialUnix(ctx, socket) }
	return &Client{socket: socket, http: &http.Client{
		Timeout:   clientTimeout,
		Transport: &http.Transport{DialContext: dial, DisableCompression: true},
	}}
}

// call asks for one operation.
func call[Out any](ctx context.Context, c *Client, operation string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/v1/"+operation, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return out, c.explain(ctx, err)
	}
	defer resp.Body.Close()
	answer := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode == http.StatusOK {
		if err := answer.Decode(&out); err != nil {
			return out, fmt.Errorf("reading the answer from %s: %w", c.socket, err)
		}
		return out, nil
	}
	var refused AdminError
	if err := answer.Decode(&refused); err != nil || refused.Message == "" {
		return out, fmt.Errorf("%s answers %s and is no admin socket of regctl", c.socket, resp.Status)
	}
	return out, &refused
}

// explain says what a failed connection means.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w at %s", ErrNoServer, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return &AdminError{Kind: KindFailed, Message: fmt.Sprintf("no permission to open %s", c.socket),
			Hint: "run the command as root or as the user that the server runs as"}
	default:
		return fmt.Errorf("asking the server at %s: %w", c.socket, errors.Unwrap(err))
	}
}

// nothing is the input of operations that need none.
type nothing struct{}

// Status returns how the server is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "status", nothing{})
}

// Users returns all accounts by name.
func (c *Client) Users(ctx context.Context) ([]UserInfo, error) {
	return call[[]UserInfo](ctx, c, "user/list", nothing{})
}

// User returns one account.
func (c *Client) User(ctx context.Context, name string) (UserInfo, error) {
	return call[UserInfo](ctx, c, "user/show", UserName{name})
}

// AddUser creates an account.
func (c *Client) AddUser(ctx context.Context, u NewUser) (UserInfo, error) {
	return call[UserInfo](ctx, c, "user/add", u)
}

// SetUser changes an account.
func (c *Client) SetUser(ctx context.Context, e UserEdit) (UserInfo, error) {
	return call[UserInfo](ctx, c, "user/set", e)
}

// SetPassword changes an account's password and ends its refresh tokens.
func (c *Client) SetPassword(ctx context.Context, p NewPassword) (UserInfo, error) {
	return call[UserInfo](ctx, c, "user/passwd", p)
}

// RemoveUser removes an account with all its tokens.
func (c *Client) RemoveUser(ctx context.Context, name string) (Removed, error) {
	return call[Removed](ctx, c, "user/remove", UserName{name})
}

// Rules returns the access list in the order in which it is tried.
func (c *Client) Rules(ctx context.Context) ([]RuleInfo, error) {
	return call[[]RuleInfo](ctx, c, "acl/list", nothing{})
}

// AddRule adds a rule to the access list.
func (c *Client) AddRule(ctx context.Context, r NewRule) (RuleInfo, error) {
	return call[RuleInfo](ctx, c, "acl/add", r)
}

// SetRule changes a rule.
func (c *Client) SetRule(ctx context.Context, e RuleEdit) (RuleInfo, error) {
	return call[RuleInfo](ctx, c, "acl/set", e)
}

// MoveRule gives a rule another place in the access list.
func (c *Client) MoveRule(ctx context.Context, m RuleMove) (RuleInfo, error) {
	return call[RuleInfo](ctx, c, "acl/move", m)
}

// RemoveRule removes a rule.
func (c *Client) RemoveRule(ctx context.Context, seq int64) (RuleInfo, error) {
	return call[RuleInfo](ctx, c, "acl/remove", RuleSeq{seq})
}

// TestRules asks what the access list says to a question, and why.
func (c *Client) TestRules(ctx context.Context, q RuleTest) (RuleTestResult, error) {
	return call[RuleTestResult](ctx, c, "acl/test", q)
}

// Tokens returns the named and refresh tokens of one user, or of all if user is
// empty.
func (c *Client) Tokens(ctx context.Context, user string) ([]TokenInfo, error) {
	return call[[]TokenInfo](ctx, c, "token/list", UserName{user})
}

// CreateToken creates a named token. Its secret is in the answer and nowhere
// else.
func (c *Client) CreateToken(ctx context.Context, t NewToken) (CreatedToken, error) {
	return call[CreatedToken](ctx, c, "token/create", t)
}

// RevokeTokens ends tokens and returns them.
func (c *Client) RevokeTokens(ctx context.Context, r Revocation) ([]TokenInfo, error) {
	return call[[]TokenInfo](ctx, c, "token/revoke", r)
}

// Audit returns audit records, each the JSON of a Record, newest first.
func (c *Client) Audit(ctx context.Context, q AuditSearch) ([]json.RawMessage, error) {
	return call[[]json.RawMessage](ctx, c, "audit/search", q)
}
