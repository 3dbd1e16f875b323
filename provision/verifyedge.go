package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// redirect asks port 80 of every name for a page, and must be sent to the same
// page by https.
func (v *verification) redirect(ctx context.Context) (string, error) {
	if v.HTTPPort == 0 {
		return "", skipped{"there is no http port"}
	}
	for _, name := range v.Hosts() {
		if err := v.redirects(ctx, name); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("port %d answers 301 to %s", v.HTTPPort, v.url(v.Host)), nil
}

func (t Target) redirects(ctx context.Context, name string) error {
	transport := &http.Transport{DialContext: t.dial, DisableKeepAlives: true}
	const page = "/v2/?regctl=verify"
	from, want := "http://"+net.JoinHostPort(name, strconv.Itoa(t.HTTPPort))+page, t.url(name)+page
	if t.HTTPPort == 80 {
		from = "http://" + name + page
	}
	resp, err := get(ctx, &http.Client{Transport: transport, CheckRedirect: asIs}, from, "")
	if err != nil {
		return err
	}
	to := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusMovedPermanently || to != want {
		return fmt.Errorf("%s answers %s to %q instead of 301 to %q", from, resp.Status, to, want)
	}
	return nil
}

// certificate verifies the chain that is served for each name.
func (v *verification) certificate(ctx context.Context) (string, error) {
	var seen []string
	for _, name := range v.Hosts() {
		state, err := v.handshake(ctx, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		leaf := state.PeerCertificates[0]
		seen = append(seen, fmt.Sprintf("%s by %s, %d days left", name, leaf.Issuer.CommonName, days(leaf.NotAfter)))
	}
	return strings.Join(seen, "; "), nil
}

// handshake connects to the edge under a public name and verifies its chain.
func (t Target) handshake(ctx context.Context, name string) (tls.ConnectionState, error) {
	config, err := t.tlsConfig()
	if err != nil {
		return tls.ConnectionState{}, err
	}
	raw, err := t.dial(ctx, "tcp", net.JoinHostPort(name, strconv.Itoa(t.HTTPSPort)))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	config.ServerName = name
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	return conn.ConnectionState(), err
}

// lasts refuses a certificate that ends soon.
func lasts(leaf *x509.Certificate) error {
	if time.Until(leaf.NotAfter) < soonExpired {
		return fmt.Errorf("ends %s; it should have been renewed", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// days are the whole days until t.
func days(t time.Time) int { return int(time.Until(t).Hours() / 24) }

// challenge asks for /v2/ without a token, as every client begins.
func (v *verification) challenge(ctx context.Context) (string, error) {
	resp, err := get(ctx, v.client, v.url(v.Host)+"/v2/", "")
	if err != nil {
		return "", err
	}
	if err := asksForToken(resp, v.Target.challenge()); err != nil {
		return "", err
	}
	seen := "401 with realm " + v.url(v.authHost()) + "/auth"
	if v.HSTS {
		header := resp.Header.Get("Strict-Transport-Security")
		if !strings.HasPrefix(header, "max-age=") {
			return "", fmt.Errorf("the answer has no Strict-Transport-Security: got %q", header)
		}
		seen += " and HSTS"
	}
	return seen, nil
}

// asksForToken checks the answer to an anonymous request for /v2/, whose
// challenge must begin as wanted.
func asksForToken(resp *http.Response, challenge string) error {
	got := resp.Header.Get("WWW-Authenticate")
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got, challenge) {
		return fmt.Errorf("%s answers %s with challenge %q instead of asking for a token with %q", resp.Request.URL, resp.Status, got, challenge)
	}
	return nil
}

// get asks for a URL, with a token if there is one. The body is read and gone.
func get(ctx context.Context, client *http.Client, target, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, err
}

// tokenURL is where a client of the target asks for a token.
func (t Target) tokenURL(account string) string {
	return t.url(t.authHost()) + "/auth?" + url.Values{"service": {t.Service}, "account": {account}}.Encode()
}
