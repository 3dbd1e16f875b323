package provision

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"regctl/stack"
	"regctl/stack/auth"
	"regctl/stack/embedded"
)

// Docker is an installation whose parts are containers.
type Docker struct {
	Target Target
	Paths  Paths
	UID    int // as which the registry runs
	// Services asks the engine for all containers that there are. An error means
	// that it does not answer.
	Services func(ctx context.Context) ([]stack.ServiceHealth, error)
	Wanted   []string // names of the services that there should be
}

// DockerChecks are the health checks of an installation whose parts are
// containers. They ask it from outside, as clients do. One list of checks is
// run once at a time.
func DockerChecks(d Docker) []Check {
	apply := "regctl apply --dir " + d.Paths.Dir
	p := &dockerProbe{probe: probe{auth.NewClient(d.Target.AdminSocket), d.Paths.SigningCert(), apply}, Docker: d}
	engine, restart := []string{"engine"}, "look at its log: regctl logs --dir "+d.Paths.Dir+"; then: "+apply
	return []Check{
		{Name: "engine", Run: p.engine, Remedy: "start it: systemctl start docker"},
		{Name: "containers", Run: p.containers, Remedy: restart, DependsOn: engine},
		{Name: "ports", Run: p.ports, Remedy: "remove ports: from what was changed in compose.yaml: " + apply, DependsOn: engine},
		{Name: "edge", Run: p.edge, Remedy: restart, DependsOn: engine},
		{Name: "redirect", Run: p.redirect, Remedy: "write the edge's configuration anew: " + apply, DependsOn: []string{"edge"}},
		{Name: "certificate", Run: p.certificate, Remedy: "renew and reload it: " + apply, DependsOn: []string{"edge"}},
		{Name: "auth server", Run: p.authServer, Remedy: restart, DependsOn: engine},
		{Name: "admin socket", Run: p.adminSocket, Remedy: "close it: chmod 600 " + d.Target.AdminSocket, DependsOn: []string{"auth server"}},
		{Name: "registry", Run: p.registry, Remedy: restart, DependsOn: engine},
		{Name: "token", Run: p.token, Remedy: restart, DependsOn: []string{"certificate", "auth server", "registry"}},
		{Name: "storage", Run: p.storage, Remedy: checkData(d.Paths.Dir)},
		{Name: "disk", Run: p.disk, Remedy: freeSomething},
		{Name: "clock", Run: p.clock, Remedy: "set it: timedatectl set-ntp true"},
	}
}

type dockerProbe struct {
	probe
	Docker
	services []stack.ServiceHealth // for the checks that depend on engine
}

func (p *dockerProbe) engine(ctx context.Context) (_ string, err error) {
	if p.services, err = p.Services(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("containers: %d", len(p.services)), nil
}

// missing are the services without a container.
func (p *dockerProbe) missing() []string {
	return slices.DeleteFunc(slices.Clone(p.Wanted), func(name string) bool {
		return slices.ContainsFunc(p.services, func(s stack.ServiceHealth) bool { return s.Service == name })
	})
}

func (p *dockerProbe) containers(context.Context) (string, error) {
	if len(p.services) == 0 {
		return "", p.down(errors.New("there are none"))
	}
	var well, wrong []string
	for _, name := range p.missing() {
		wrong = append(wrong, name+" is missing")
	}
	for _, s := range p.services {
		switch {
		case s.State != "running":
			wrong = append(wrong, s.Service+" is "+s.State)
		case s.Health != "" && s.Health != "healthy":
			wrong = append(wrong, strings.TrimSpace(s.Service+" is "+s.Health+" "+s.Detail))
		case s.Health == "":
			well = append(well, s.Service+" running")
		default:
			well = append(well, s.Service+" healthy")
		}
	}
	if len(wrong) > 0 {
		return "", errors.New(strings.Join(wrong, ", "))
	}
	return strings.Join(well, ", "), nil
}

// ports: what Docker publishes bypasses the host's firewall (DESIGN 1.1).
func (p *dockerProbe) ports(context.Context) (string, error) {
	var open []string
	for _, s := range p.services {
		for _, address := range s.Published {
			if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().IsLoopback() {
				open = append(open, s.Service+" publishes "+address)
			}
		}
	}
	if len(open) > 0 {
		return "", errors.New(strings.Join(open, ", ") + ", around the firewall")
	}
	return "no container publishes one", nil
}

// edge connects to its ports.
func (p *dockerProbe) edge(ctx context.Context) (string, error) {
	var open []string
	for _, port := range []int{p.Target.HTTPPort, p.Target.HTTPSPort} {
		for _, name := range p.Target.Hosts() {
			address := net.JoinHostPort(name, strconv.Itoa(port))
			conn, err := p.Target.dial(ctx, "tcp", address)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return "", p.down(fmt.Errorf("nothing answers at %s", address))
			}
			if err != nil {
				return "", err
			}
			conn.Close()
		}
		open = append(open, strconv.Itoa(port))
	}
	return "listens on " + strings.Join(open, " and "), nil
}

func (p *dockerProbe) redirect(ctx context.Context) (string, error) {
	for _, name := range p.Target.Hosts() {
		if err := p.Target.redirects(ctx, name); err != nil {
			return "", err
		}
	}
	return "http leads to https", nil
}

// certificate compares what is served with what is on the disk.
func (p *dockerProbe) certificate(ctx context.Context) (string, error) {
	var seen []string
	for _, name := range p.Target.Hosts() {
		state, err := p.Target.handshake(ctx, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		served := state.PeerCertificates[0]
		stored, err := readCertificate(p.pair(name))
		switch {
		case err != nil:
			return "", err
		case !served.Equal(stored):
			return "", fmt.Errorf("%s: serial %x is served, and %x is in %s", name, served.SerialNumber, stored.SerialNumber, p.pair(name))
		}
		if err := lasts(served); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		seen = append(seen, fmt.Sprintf("%s by %s, %d days left", name, served.Issuer.CommonName, days(served.NotAfter)))
	}
	return strings.Join(seen, "; "), nil
}

// pair is where the edge has the certificate of a name from: a file of its own,
// or the registry's.
func (p *dockerProbe) pair(name string) string {
	if _, err := os.Stat(p.Paths.Pair(name)); errors.Is(err, fs.ErrNotExist) {
		name = p.Target.Host
	}
	return p.Paths.Pair(name)
}

// readCertificate returns the first certificate in a PEM file.
func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s holds no certificate", file)
}

func (p *dockerProbe) adminSocket(context.Context) (string, error) {
	info, err := os.Lstat(p.Target.AdminSocket)
	switch {
	case err != nil:
		return "", err
	case info.Mode().Type() != fs.ModeSocket:
		return "", fmt.Errorf("%s is no socket", p.Target.AdminSocket)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s has mode %04o: others can open it", p.Target.AdminSocket, info.Mode().Perm())
	}
	return "its owner's and root's alone", nil
}

// registry asks it without the edge.
func (p *dockerProbe) registry(ctx context.Context) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dialTo("unix", p.Paths.RegistrySocket())}
	resp, err := get(ctx, &http.Client{Transport: transport}, "http://"+p.Target.authority(p.Target.Host)+"/v2/", "")
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return "", p.down(fmt.Errorf("nothing answers at %s", p.Paths.RegistrySocket()))
	}
	if err != nil {
		return "", err
	}
	return "asks for a token", asksForToken(resp, "Bearer ")
}

// token asks both servers through the edge.
func (p *dockerProbe) token(ctx context.Context) (string, error) {
	transport, err := p.Target.transport()
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	at := &site{p.Target.url(p.Target.Host), p.Target.Service, &http.Client{Transport: transport, CheckRedirect: asIs}}
	resp, err := p.get(ctx, at, "/v2/", "")
	if err != nil {
		return "", err
	}
	if err := asksForToken(resp, p.Target.challenge()); err != nil {
		return "", err
	}
	// Nobody in particular asks, so it may say no; but it must say something.
	if resp, err = get(ctx, at.client, p.Target.tokenURL(""), ""); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return "", fmt.Errorf("%s answers %s", p.Target.url(p.Target.authHost())+"/auth", resp.Status)
	}
	return p.tokenAt(ctx, at)
}

// storage: root can write where the registry may not.
func (p *dockerProbe) storage(context.Context) (string, error) {
	dir := p.Paths.RegistryData()
	info, err := os.Stat(dir)
	if err != nil {
		return "", p.down(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != p.UID || info.Mode().Perm()&0o700 != 0o700 {
		return "", fmt.Errorf("%s (mode %04o) does not belong to user %d, as which the registry runs", dir, info.Mode().Perm(), p.UID)
	}
	return "writable", embedded.CheckStorage(p.Paths.Dir)
}

func (p *dockerProbe) disk(context.Context) (string, error) {
	dirs := []string{p.Paths.RegistryData(), p.Paths.AuthData()}
	if _, err := os.Stat(p.Paths.MongoData()); err == nil {
		dirs = append(dirs, p.Paths.MongoData())
	}
	free, err := diskOf(dirs...)
	if errors.Is(err, fs.ErrNotExist) {
		err = p.down(err)
	}
	return free, err
}

// clock fails when the time is certainly wrong. Whether a clock is synchronised
// is told only: the kernel of a virtual machine often does not know.
func (p *dockerProbe) clock(context.Context) (string, error) {
	files := []string{p.Paths.SigningCert()}
	for _, name := range p.Target.Hosts() {
		files = append(files, p.pair(name))
	}
	for _, file := range files {
		cert, err := readCertificate(file)
		if err == nil && time.Now().Before(cert.NotBefore) {
			return "", fmt.Errorf("it is before %s, when %s begins", cert.NotBefore.Format(time.RFC3339), file)
		}
	}
	var kernel unix.Timex // adjtimex(2): without modes it only reads
	if state, err := unix.Adjtimex(&kernel); err != nil || state == unix.TIME_ERROR {
		return "plausible; the kernel does not know it to be synchronised", nil
	}
	return "synchronised", nil
}
