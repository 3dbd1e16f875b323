package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// login makes the guest and logs in as docker login does: a token for nothing in
// particular, which the registry must accept. A wrong password must get none.
func (v *verification) login(ctx context.Context) (string, error) {
	if err := removeExpired(ctx, v.admin, time.Now()); err != nil {
		return "", fmt.Errorf("removing what earlier runs left: %w", err)
	}
	if err := v.guest.create(ctx, v.admin); err != nil {
		return "", err
	}
	status, token, err := v.askToken(ctx, v.guest.password.Reveal())
	switch {
	case err != nil:
		return "", err
	case status != http.StatusOK || token == "":
		return "", fmt.Errorf("the token server answers %d to the right password", status)
	}
	resp, err := get(ctx, v.client, v.url(v.Host)+"/v2/", token)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", errToken{fmt.Errorf("the registry answers %s to a token of the token server", resp.Status)}
	}
	// After the right one: what is remembered of it must not let this one in.
	if status, _, err = v.askToken(ctx, "not "+v.guest.password.Reveal()); err != nil {
		return "", err
	}
	if status != http.StatusUnauthorized {
		return "", fmt.Errorf("the token server answers %d to a wrong password", status)
	}
	return "as " + v.guest.name() + "; a wrong password is refused", nil
}

// errToken is a token that the registry does not accept.
type errToken struct{ error }

// askToken asks for a token that grants nothing in particular.
func (v *verification) askToken(ctx context.Context, password string) (status int, token string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.tokenURL(v.guest.name()), nil)
	if err != nil {
		return 0, "", err
	}
	req.SetBasicAuth(v.guest.name(), password)
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
			return 0, "", fmt.Errorf("reading the token server's answer: %w", err)
		}
	}
	return resp.StatusCode, answer.Token, nil
}
