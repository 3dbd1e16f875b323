package auth

import (
	"context"
	"crypto/rand"
	"time"
)

// probeLifetime is short: such a token is used at once.
const probeLifetime = time.Minute

// probeRequest asks for a token for a service.
type probeRequest struct {
	Service string `json:"service"`
}

// probeToken logs in at a registry and grants nothing there.
type probeToken struct {
	Token string `json:"token"`
}

// probe signs a token with which a health check finds out whether a registry
// trusts this server.
func (a *admin) probe(_ context.Context, in probeRequest) (probeToken, error) {
	snap, now := a.current.Load(), a.now()
	token, err := snap.signer.sign(&claims{
		Issuer: snap.cfg.Token.Issuer, Subject: "regctl status", Audience: in.Service,
		IssuedAt: now.Unix(), NotBefore: now.Unix() - 10, Expires: now.Add(probeLifetime).Unix(),
		ID: rand.Text(), Access: []access{},
	}, now)
	return probeToken{token}, err
}

// Probe returns a token for service that logs in and grants nothing.
func (c *Client) Probe(ctx context.Context, service string) (string, error) {
	answer, err := call[probeToken](ctx, c, "probe", probeRequest{service})
	return answer.Token, err
}
