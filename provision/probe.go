package provision

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"

	"regctl/stack/auth"
)

// probe asks the auth server and the registry of a stack how they are, in
// whatever runtime.
type probe struct {
	admin     *auth.Client
	signingCA string // the file
	start     string // the command that starts the stack
}

// site is how clients reach a stack.
type site struct {
	url, service string
	client       *http.Client
}

// down is the error of a check that found nobody to ask.
func (p *probe) down(err error) error {
	return remedied{err, "start it: " + p.start}
}

func (p *probe) authServer(ctx context.Context) (string, error) {
	s, err := p.admin.Status(ctx)
	switch {
	case errors.Is(err, auth.ErrNoServer):
		return "", p.down(err)
	case err != nil:
		return "", err
	case !s.Ready:
		return "", errors.New(s.Problem)
	}
	return fmt.Sprintf("users: %d, rules: %d, named tokens: %d", s.Users, s.Rules, s.Tokens), nil
}

// tokenAt shows the registry a token of ours that grants nothing: it must know
// the signature, and still refuse a repository. The signing CA in the directory
// must be the one in use: else a restart ends all tokens, or fails.
func (p *probe) tokenAt(ctx context.Context, at *site) (string, error) {
	token, err := p.admin.Probe(ctx, at.service)
	switch {
	case errors.Is(err, auth.ErrNoServer):
		return "", p.down(err)
	case err != nil:
		return "", err
	}
	resp, err := p.get(ctx, at, "/v2/", token)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the registry answers %s to a token of the auth server", resp.Status)
	}
	if resp, err = p.get(ctx, at, "/v2/regctl/status/tags/list", token); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return "", fmt.Errorf("the registry answers %s to a token without rights", resp.Status)
	}
	if err := p.signedBy(token); err != nil {
		return "", err
	}
	return "accepted, and refused where it grants nothing", nil
}

// get asks for a path of a site; see [get].
func (p *probe) get(ctx context.Context, at *site, path, token string) (*http.Response, error) {
	resp, err := get(ctx, at.client, at.url+path, token)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, p.down(fmt.Errorf("nothing answers at %s", at.url))
	}
	return resp, err
}

// signedBy checks the certificate in token's header against the signing CA in
// the directory.
func (p *probe) signedBy(token string) error {
	bundle, err := os.ReadFile(p.signingCA)
	if err != nil {
		return remedied{fmt.Errorf("the signing CA that is in use has lost its file: %w", err), "restore it from a backup"}
	}
	leaf, err := signer(token)
	if err != nil {
		return fmt.Errorf("reading a token of the auth server: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return remedied{fmt.Errorf("%s is not the signing CA that is in use: %w", p.signingCA, err), "restore it from a backup, or restart to use it: " + p.start}
	}
	return nil
}

// signer returns the certificate in a token's header (RFC 7515, x5c).
func signer(token string) (*x509.Certificate, error) {
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return nil, err
	}
	var header struct {
		X5C [][]byte `json:"x5c"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, err
	}
	if len(header.X5C) == 0 {
		return nil, errors.New("it has no certificate")
	}
	return x509.ParseCertificate(header.X5C[0])
}
