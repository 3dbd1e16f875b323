package auth

import (
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// DefaultRefreshExpiration is how long a login lasts if the configuration says nothing.
const DefaultRefreshExpiration = 90 * 24 * time.Hour

// maxExpiration is the longest that a time.Duration can say, some 292 years.
const maxExpiration = math.MaxInt64 / int64(time.Second)

func (c *checker) server(s *serverYAML) error {
	c.cfg.Server = ServerConfig{
		Addr: s.Addr, Net: s.Net, PathPrefix: s.PathPrefix, HSTS: s.HSTS,
		RealIPHeader: s.RealIPHeader, RealIPPos: s.RealIPPos,
		MetricsAddr: s.MetricsAddr, AdminSocket: s.AdminSocket,
	}
	if s.Net == "" {
		c.cfg.Server.Net = "tcp"
	}
	switch {
	case s.Addr == "":
		return c.errorf(at("server", "addr"), "server.addr is required")
	case c.cfg.Server.Net != "tcp" && s.Net != "unix":
		return c.errorf(at("server", "net"), "server.net must be unix or tcp")
	case s.PathPrefix != "" && !strings.HasPrefix(s.PathPrefix, "/"):
		return c.errorf(at("server", "path_prefix"), "server.path_prefix must be an absolute path")
	case s.TLSCipherSuites != nil && (s.TLSMinVersion == "TLS13" || s.TLSMinVersion == "0x0304"):
		return c.errorf(at("server", "tls_cipher_suites"), "server.tls_cipher_suites: TLS 1.3 ciphersuites are not configurable")
	}
	return nil
}

func (c *checker) token(t *tokenYAML) error {
	switch {
	case t.Issuer == "":
		return c.errorf(at("token", "issuer"), "token.issuer is required")
	case t.Expiration <= 0:
		return c.errorf(at("token", "expiration"), "token.expiration: expiration must be positive, got %d", t.Expiration)
	}
	c.cfg.Token = TokenConfig{
		Issuer:             t.Issuer,
		Expiration:         time.Duration(min(t.Expiration, maxExpiration)) * time.Second,
		DisableLegacyKeyID: t.DisableLegacyKeyID,
		X5C:                t.X5C == nil || *t.X5C,
		Refresh:            t.Refresh,
		RefreshExpiration:  DefaultRefreshExpiration,
	}
	return nil
}

// serverOurs checks the keys of the server section that docker_auth lacks, and
// the addresses, which it leaves to the system.
func (c *checker) serverOurs(s *section[serverYAML]) error {
	if s.v.Net != "unix" {
		if err := checkAddr(s.v.Addr); err != nil {
			return c.errorf(at("server", "addr"), "server.addr: %w", err)
		}
	}
	if s.v.MetricsAddr != "" {
		if err := checkAddr(s.v.MetricsAddr); err != nil {
			return c.errorf(at("server", "metrics_addr"), "server.metrics_addr: %w", err)
		}
	}
	place := at("server", "trusted_proxies")
	for i, text := range s.v.TrustedProxies {
		network, err := parseNetwork(text)
		if err != nil {
			return c.errorf(place.child(i), "%s: %w (give addresses or networks such as 10.0.0.0/8)", place, err)
		}
		c.cfg.Server.TrustedProxies = append(c.cfg.Server.TrustedProxies, network)
	}
	if s.v.RealIPPos >= 0 && http.CanonicalHeaderKey(s.v.RealIPHeader) == "X-Forwarded-For" {
		c.warnf(at("server", "real_ip_header"), "server.real_ip_pos %d counts from what the client may have written itself: unless the proxy replaces the header, give -1, the address that it appends", s.v.RealIPPos)
	}
	switch {
	case s.v.RealIPHeader != "" && s.v.TrustedProxies == nil:
		c.cfg.Server.TrustedProxies = privateNetworks()
	case s.v.RealIPHeader == "" && s.v.TrustedProxies != nil:
		c.warnf(place, "%s is ignored without server.real_ip_header", place)
	}
	return nil
}

// checkAddr accepts HOST:PORT, where the port may be a name.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, err = net.LookupPort("tcp", port)
	return err
}

// privateNetworks are those from which no client on the internet can come:
// loopback, RFC 1918 and RFC 4193.
func privateNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
	}
}

// tokenOurs checks the keys of the token section that docker_auth lacks.
func (c *checker) tokenOurs(s *section[tokenYAML]) error {
	t := &s.v
	if t.Refresh && c.cfg.Store == nil {
		return c.errorf(at("token", "refresh"), "token.refresh needs the store section, or mongo_auth: refresh tokens are kept there")
	}
	if s.keys["refresh_expiration"] {
		place := at("token", "refresh_expiration")
		d, err := ParseDuration(*t.RefreshExpiration)
		if err != nil {
			return c.errorf(place, "%s: %w", place, err)
		}
		c.cfg.Token.RefreshExpiration = d
	}
	if t.SigningCA == nil {
		return nil
	}
	place := at("token", "signing_ca")
	var err error
	switch ca := &t.SigningCA.v; {
	case ca.Certificate == "":
		err = errors.New("certificate is required")
	case ca.Key == "":
		err = errors.New("key is required")
	case t.Certificate != "" || t.Key != "":
		err = errors.New("give either this or token.certificate and token.key, not both")
	case !c.cfg.Token.X5C:
		err = errors.New("needs token.x5c: registries know the certificate that signs from there only")
	default:
		return nil
	}
	return c.errorf(place, "%s: %w", place, err)
}
