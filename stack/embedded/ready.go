package embedded

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// endpoint is how clients reach a running stack.
type endpoint struct {
	dial string // address to connect to
	url  string
	// fixedRealm is the token endpoint's URL; empty if it follows the host that
	// a request names.
	fixedRealm string
	challenge  string // how the registry's answer to an anonymous request begins
}

func (o *Options) endpoint(addr net.Addr) endpoint {
	tcp := *addr.(*net.TCPAddr) // checkExposure
	if tcp.IP.IsUnspecified() {
		tcp.IP = net.IPv4(127, 0, 0, 1)
		if addr.(*net.TCPAddr).IP.To4() == nil {
			tcp.IP = net.IPv6loopback
		}
	}
	scheme, host := "http", o.Host
	if o.TLS != nil {
		scheme = "https"
	}
	if host == "" {
		host = tcp.IP.String()
	}
	at := endpoint{dial: tcp.String(), url: scheme + "://" + authority(scheme, host, tcp.Port)}
	realm := at.url + tokenPath
	if o.AuthHost != "" {
		at.fixedRealm = scheme + "://" + authority(scheme, o.AuthHost, tcp.Port) + tokenPath
		realm = at.fixedRealm
	}
	at.challenge = fmt.Sprintf("Bearer realm=%q,service=%q", realm, o.Service)
	return at
}

// probe asks for /v2/ as a client does, over the network, and expects to be sent
// to the token endpoint.
func (at endpoint) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url+"/v2/", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.dial)
		},
		// Whether clients trust the certificate is another question: this one
		// asks whether we serve.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got, at.challenge) {
		return fmt.Errorf("%s/v2/ answered %s with challenge %q, expected 401 with %q", at.url, resp.Status, got, at.challenge)
	}
	return nil
}
