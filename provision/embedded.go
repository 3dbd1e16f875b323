package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	p := &embeddedProbe{dir: dir, serve: "regctl serve --dir " + dir, admin: auth.NewClient(adminSocket)}
	look := "look at what the server prints, then restart it: " + p.serve
	return []Check{
		{"auth server", p.authServer, look},
		{"registry", p.registry, look},
		{"token", p.token, look},
		{"certificate", p.certificate, look},
		{"storage", p.storage, "check owner and mode of " + dir + "/data, and that its file system is neither full nor read-only"},
		{"disk", p.disk, "free space there"},
	}
}

type embeddedProbe struct {
	dir   string
	serve string // the command that starts the stack
	admin *auth.Client
}

// down is the error of a check that found nobody to ask.
func (p *embeddedProbe) down(err error) error {
	return remedied{err, "start it: " + p.serve}
}

func (p *embeddedProbe) authServer(ctx context.Context) (string, error) {
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
// the signature, and still refuse a repository. The signing CA in the directory
// must be the one in use: else a restart ends all tokens, or fails.
func (p *embeddedProbe) token(ctx context.Context) (string, error) {
	c, err := p.connect()
	if err != nil {
		return "", err
	}
	token, err := p.admin.Probe(ctx, c.at.Service)
	switch {
	case errors.Is(err, auth.ErrNoServer):
		return "", p.down(err)
	case err != nil:
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
	if err := p.signedBy(token); err != nil {
		return "", err
	}
	return "accepted, and refused where it grants nothing", nil
}

// signedBy checks the certificate in token's header against the signing CA in
// the directory.
func (p *embeddedProbe) signedBy(token string) error {
	file := filepath.Join(p.dir, "auth", "signing-ca.crt")
	bundle, err := os.ReadFile(file)
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
		return remedied{fmt.Errorf("%s is not the signing CA that is in use: %w", file, err), "restore it from a backup, or restart to use it: " + p.serve}
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
		return "", fmt.Errorf("ends %s; it should have been renewed", leaf.NotAfter.Format(time.RFC3339))
	}
	return fmt.Sprintf("by %s, %d days left", leaf.Issuer.CommonName, int(left.Hours()/24)), nil
}

func (p *embeddedProbe) storage(context.Context) (string, error) {
	if err := p.installed(); err != nil {
		return "", err
	}
	return "writable", embedded.CheckStorage(p.dir)
}

// disk looks at the file systems of the blobs and of the store: they may be two.
func (p *embeddedProbe) disk(context.Context) (string, error) {
	if err := p.installed(); err != nil {
		return "", err
	}
	least := math.Inf(1)
	for _, sub := range []string{"data", "auth"} {
		free, err := freeSpace(filepath.Join(p.dir, sub))
		if err != nil {
			return "", err
		}
		least = min(least, free)
	}
	return fmt.Sprintf("%.1f GiB free", least), nil
}

// installed says whether there is an installation to look at.
func (p *embeddedProbe) installed() error {
	if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return p.down(fmt.Errorf("there is no directory %s", p.dir))
	}
	return nil
}

// freeSpace returns the GiB that are free on dir's file system, or an error if
// that is too little.
func freeSpace(dir string) (float64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30)
	switch {
	case fs.Blocks > 0 && fs.Bavail*100/fs.Blocks < lowDisk:
		return 0, fmt.Errorf("%s: %.1f GiB free, less than %d %%", dir, free, lowDisk)
	case fs.Files > 0 && fs.Ffree*100/fs.Files < lowInodes:
		return 0, fmt.Errorf("%s: %d inodes free, less than %d %%", dir, fs.Ffree, lowInodes)
	}
	return free, nil
}

// connection asks a running stack.
type connection struct {
	*embeddedProbe
	at     embedded.Running
	client *http.Client
}

func (p *embeddedProbe) connect() (*connection, error) {
	at, err := embedded.ReadRunning(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, p.down(fmt.Errorf("nothing has served %s yet", p.dir))
	case err != nil:
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
	return &connection{p, at, &http.Client{Transport: transport}}, nil
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
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, c.down(fmt.Errorf("nothing answers at %s", c.at.URL))
	case err != nil:
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, err
}
