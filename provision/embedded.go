package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"regctl/stack/auth"
	"regctl/stack/embedded"
)

// soonExpired is when a certificate should have been replaced long ago: the
// local CA's are renewed with ten days left.
const soonExpired = 7 * 24 * time.Hour

// EmbeddedChecks are the health checks of an installation in dir that is served
// by one process. They ask it from outside, as clients do.
func EmbeddedChecks(dir, adminSocket string) []Check {
	serve := "regctl serve --dir " + dir
	p := &embeddedProbe{probe{auth.NewClient(adminSocket), filepath.Join(dir, "auth", "signing-ca.crt"), serve}, dir}
	look := "look at what the server prints, then restart it: " + serve
	return []Check{
		{Name: "auth server", Run: p.authServer, Remedy: look},
		{Name: "registry", Run: p.registry, Remedy: look},
		{Name: "token", Run: p.token, Remedy: look},
		{Name: "certificate", Run: p.certificate, Remedy: look},
		{Name: "storage", Run: p.storage, Remedy: checkData(dir)},
		{Name: "disk", Run: p.disk, Remedy: freeSomething},
	}
}

// What to do about storage that fails.
const freeSomething = "free space there"

func checkData(dir string) string {
	return "check owner and mode of " + dir + "/data, and that its file system is neither full nor read-only"
}

type embeddedProbe struct {
	probe
	dir string
}

func (p *embeddedProbe) registry(ctx context.Context) (string, error) {
	at, err := p.site()
	if err != nil {
		return "", err
	}
	resp, err := p.get(ctx, at, "/v2/", "")
	if err != nil {
		return "", err
	}
	return at.url + " asks for a token", asksForToken(resp, "Bearer ")
}

func (p *embeddedProbe) token(ctx context.Context) (string, error) {
	at, err := p.site()
	if err != nil {
		return "", err
	}
	return p.tokenAt(ctx, at)
}

func (p *embeddedProbe) certificate(ctx context.Context) (string, error) {
	at, err := p.site()
	if err != nil {
		return "", err
	}
	resp, err := p.get(ctx, at, "/v2/", "")
	switch {
	case err != nil:
		return "", err
	case resp.TLS == nil:
		return "none: plain HTTP on this machine only", nil
	}
	leaf := resp.TLS.PeerCertificates[0]
	if err := lasts(leaf); err != nil {
		return "", err
	}
	return fmt.Sprintf("by %s, %d days left", leaf.Issuer.CommonName, days(leaf.NotAfter)), nil
}

func (p *embeddedProbe) storage(context.Context) (string, error) {
	if err := p.installed(); err != nil {
		return "", err
	}
	return "writable", embedded.CheckStorage(p.dir)
}

// disk looks at the file systems of the blobs and of the store.
func (p *embeddedProbe) disk(context.Context) (string, error) {
	if err := p.installed(); err != nil {
		return "", err
	}
	return diskOf(filepath.Join(p.dir, "data"), filepath.Join(p.dir, "auth"))
}

// installed says whether there is an installation to look at.
func (p *embeddedProbe) installed() error {
	if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return p.down(fmt.Errorf("there is no directory %s", p.dir))
	}
	return nil
}

// site is where the running process says that it serves.
func (p *embeddedProbe) site() (*site, error) {
	at, err := embedded.ReadRunning(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, p.down(fmt.Errorf("nothing has served %s yet", p.dir))
	case err != nil:
		return nil, err
	}
	transport, err := Target{CAFile: at.CAFile}.transport()
	if err != nil {
		return nil, err
	}
	transport.DisableKeepAlives = true
	transport.DialContext = dialTo("tcp", at.Address)
	return &site{at.URL, at.Service, &http.Client{Transport: transport}}, nil
}
