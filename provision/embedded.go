package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"regctl/stack/auth"
	"regctl/stack/embedded"
)

const (
	// lowDisk and lowInodes are the parts of a file system, in percent, below
	// which pushes are about to fail.
	lowDisk, lowInodes = 5, 5
	// soonExpired is when a certificate should have been replaced long ago: the
	// local CA's are renewed with ten days left.
	soonExpired = 7 * 24 * time.Hour
)

// EmbeddedChecks are the health checks of an installation in dir that is served
// by one process. They ask it from outside, as clients do.
func EmbeddedChecks(dir, adminSocket string) []Check {
	p := &embeddedProbe{dir: dir, admin: auth.NewClient(adminSocket)}
	serve := "regctl serve --dir " + dir
	return []Check{
		{"auth server", p.authServer, "start it, or look at what it prints: " + serve},
		{"registry", p.registry, "start it, or look at what it prints: " + serve},
		{"token", p.token, "restart it, so that both read the signing CA in " + dir + "/auth: " + serve},
		{"certificate", p.certificate, "check the clock of this machine, then restart: " + serve},
		{"storage", p.storage, "check owner and mode of " + dir + "/data, and that its file system is not mounted read-only"},
		{"disk", p.disk, "free space on the file system of " + dir + "/data"},
	}
}

type embeddedProbe struct {
	dir   string
	admin *auth.Client
}

func (p *embeddedProbe) authServer(ctx context.Context) (string, error) {
	s, err := p.admin.Status(ctx)
	switch {
	case err != nil:
		return "", err
	case !s.Ready:
		return "", errors.New(s.Problem)
	}
	return fmt.Sprintf("users: %d, rules: %d, named tokens: %d", s.Users, s.Rules, s.Tokens), nil
}

func (p *embeddedProbe) registry(ctx context.Context) (string, error) {
	c, err := p.connect()
	if err != nil {
		return "", err
	}
	resp, err := c.get(ctx, "/v2/", "")
	if err != nil {
		return "", err
	}
	if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer ") {
		return "", fmt.Errorf("%s/v2/ answers %s with challenge %q instead of asking for a token", c.at.URL, resp.Status, challenge)
	}
	return c.at.URL + " asks for a token", nil
}

// token shows the registry a token of ours that grants nothing: it must know
// the signature, and still refuse a repository.
func (p *embeddedProbe) token(ctx context.Context) (string, error) {
	c, err := p.connect()
	if err != nil {
		return "", err
	}
	token, err := p.admin.Probe(ctx, c.at.Service)
	if err != nil {
		return "", err
	}
	resp, err := c.get(ctx, "/v2/", token)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the registry answers %s to a token of the auth server", resp.Status)
	}
	if resp, err = c.get(ctx, "/v2/regctl/status/tags/list", token); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return "", fmt.Errorf("the registry answers %s to a token without rights", resp.Status)
	}
	return "accepted, and refused where it grants nothing", nil
}

func (p *embeddedProbe) certificate(ctx context.Context) (string, error) {
	c, err := p.connect()
	if err != nil {
		return "", err
	}
	resp, err := c.get(ctx, "/v2/", "")
	switch {
	case err != nil:
		return "", err
	case resp.TLS == nil:
		return "none: plain HTTP on this machine only", nil
	}
	leaf := resp.TLS.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	if left < soonExpired {
		return "", fmt.Errorf("of %s ends %s", leaf.Subject, leaf.NotAfter.Format(time.RFC3339))
	}
	return fmt.Sprintf("by %s, %d days left", leaf.Issuer.CommonName, int(left.Hours()/24)), nil
}

func (p *embeddedProbe) storage(context.Context) (string, error) {
	return "writable", embedded.CheckStorage(p.dir)
}

func (p *embeddedProbe) disk(context.Context) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		return "", &os.PathError{Op: "statfs", Path: p.dir, Err: err}
	}
	free := float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30)
	switch {
	case fs.Blocks > 0 && fs.Bavail*100/fs.Blocks < lowDisk:
		return "", fmt.Errorf("%.1f GiB free, less than %d %%", free, lowDisk)
	case fs.Files > 0 && fs.Ffree*100/fs.Files < lowInodes:
		return "", fmt.Errorf("%d inodes free, less than %d %%", fs.Ffree, lowInodes)
	}
	return fmt.Sprintf("%.1f GiB free", free), nil
}

// connection asks a running stack.
type connection struct {
	at     embedded.Running
	client *http.Client
}

func (p *embeddedProbe) connect() (*connection, error) {
	at, err := embedded.ReadRunning(p.dir)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.Address)
		},
	}
	if at.CAFile != "" {
		pem, err := os.ReadFile(at.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	return &connection{at, &http.Client{Transport: transport}}, nil
}

// get asks for a path with a token, if there is one. The body is read and gone.
func (c *connection) get(ctx context.Context, path, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.at.URL+path, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, err
}
