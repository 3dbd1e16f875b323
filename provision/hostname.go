package provision

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalHost returns a host name as certificates and DNS have it: in lower
// case, without a final dot, international letters as punycode (RFC 5891).
func CanonicalHost(name string) (string, error) {
	if why := noHostName(name); why != "" {
		return "", errors.New(why)
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.CheckHyphens(true), idna.VerifyDNSLength(true))
	canonical, err := profile.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", fmt.Errorf("%q is no host name: want parts of up to 63 letters, digits and inner hyphens, with dots between", name)
	}
	return canonical, nil
}

// noHostName recognises what people give in place of a host name.
func noHostName(name string) string {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	switch {
	case err == nil:
		return fmt.Sprintf("%q is an address: give the name that points to it, for which a certificate can be made", name)
	case strings.Contains(name, "://"):
		return fmt.Sprintf("%q is a URL: give the host name alone, without %s", name, name[:strings.Index(name, "://")+3])
	case strings.Contains(name, "/"):
		return fmt.Sprintf("%q has a path: give the host name alone", name)
	case strings.Contains(name, ":"):
		return fmt.Sprintf("%q has a port: give the host name alone; edge.https_port is the port's setting", name)
	case strings.Contains(name, "*"):
		return fmt.Sprintf("%q is a wildcard: give the one name that clients use", name)
	case strings.Contains(name, "@"):
		return fmt.Sprintf("%q is an e-mail address: give a host name", name)
	}
	return ""
}

// checkHost says why name cannot be a public name of this installation.
func (c Config) checkHost(name string) error {
	canonical, err := CanonicalHost(name)
	switch {
	case err != nil:
		return err
	case canonical != name:
		return fmt.Errorf("%q: write it as %s", name, canonical)
	case c.TLS.Mode == TLSACME && !strings.Contains(name, "."):
		return fmt.Errorf("%q has no dot: no certificate authority knows such a name; use tls.mode %s or a full name", name, TLSLocal)
	case c.TLS.Mode == TLSACME && reserved(name):
		return fmt.Errorf("%q ends in a name that is not on the internet: no certificate authority knows it; use tls.mode %s or a public name", name, TLSLocal)
	case c.TLS.Mode == TLSFiles && !strings.Contains(name, "."):
		return fmt.Errorf("%q has no dot: only tls.mode %s makes certificates for such names", name, TLSLocal)
	}
	return nil
}

// checkReference says why images cannot be named after the registry: Docker
// takes what has no dot and no port, except localhost, for a path on Docker Hub
// (github.com/distribution/reference, splitDockerDomain).
func (c Config) checkReference(name string) error {
	if !strings.Contains(name, ".") && name != "localhost" && c.WithDefaults().Edge.HTTPSPort == 443 {
		return fmt.Errorf("%q has no dot: docker takes %s/app for a repository on Docker Hub; use a name with a dot, or another edge.https_port than 443", name, name)
	}
	return nil
}

// reserved reports whether a name can never be in public DNS: RFC 2606, 6761,
// 6762, 8375 and 9476, and ICANN's resolution on .internal (2024-07-29).
func reserved(name string) bool {
	return slices.ContainsFunc([]string{"test", "example", "invalid", "localhost", "local", "internal", "home.arpa", "alt", "onion"},
		func(suffix string) bool { return name == suffix || strings.HasSuffix(name, "."+suffix) })
}
