package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Target is an installation as its users reach it.
type Target struct {
	Host     string // public name of the registry
	AuthHost string // own name of the token server; "" means Host

	HTTPPort  int // 0: there is none
	HTTPSPort int

	// Address is the IP address to connect to instead of what the names
	// resolve to; "": resolve them.
	Address string
	CAFile  string // PEM; "": the CAs that this host trusts
	Service string // the audience of tokens
	HSTS    bool   // the answers shall tell browsers to stay with https

	AdminSocket string
}

// Hosts are the public names, the registry's first.
func (t Target) Hosts() []string {
	return Config{Host: t.Host, Auth: AuthConfig{Host: t.AuthHost}}.Hosts()
}

// authHost is the name that has the token endpoint.
func (t Target) authHost() string {
	names := t.Hosts()
	return names[len(names)-1]
}

// authority is name with the port where it serves https, in the form that
// clients use: without it if it is 443.
func (t Target) authority(name string) string {
	if t.HTTPSPort == 443 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(t.HTTPSPort))
}

func (t Target) url(name string) string { return "https://" + t.authority(name) }

// challenge is how the registry's answer to an anonymous request begins, as
// distribution writes it.
func (t Target) challenge() string {
	return fmt.Sprintf("Bearer realm=%q,service=%q", t.url(t.authHost())+"/auth", t.Service)
}

// Reachable returns t with the loopback address, and a note that says so, if it
// has no address and a name of it does not resolve on this host.
func (t Target) Reachable(ctx context.Context) (_ Target, note string) {
	if t.Address != "" {
		return t, ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, name := range t.Hosts() {
		if _, err := net.DefaultResolver.LookupHost(ctx, name); err != nil {
			t.Address = "127.0.0.1"
			return t, fmt.Sprintf("%s does not resolve on this host: using %s instead", name, t.Address)
		}
	}
	return t, ""
}

// Target is how the users of c reach it, in the directory p.
func (c Config) Target(p Paths, service string) Target {
	c = c.WithDefaults()
	t := Target{
		Host: c.Host, AuthHost: c.Auth.Host, HTTPPort: c.Edge.HTTPPort, HTTPSPort: c.Edge.HTTPSPort,
		Service: service, HSTS: *c.TLS.HSTS, AdminSocket: p.AdminSocket(),
	}
	if c.TLS.Mode == "local" {
		t.CAFile = p.LocalCA()
	}
	return t
}

// dial connects to the port of addr at the target's address, or to addr.
func (t Target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.Address != "" {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(t.Address, port)
	}
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
}

// tlsConfig trusts the target's CA.
func (t Target) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA: %s holds no certificate", t.CAFile)
	}
	return config, nil
}

// transport connects to the target under its public names. It uses no proxy:
// the way to the own edge leads through none.
func (t Target) transport() (*http.Transport, error) {
	config, err := t.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		DialContext: t.dial, TLSClientConfig: config, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 15 * time.Second,
	}, nil
}

// dialTo connects to one address, whatever is asked for.
func dialTo(network, address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// asIs has a client return redirects instead of following them.
func asIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
