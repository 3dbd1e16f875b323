package provision

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"regctl/provision/host/hosttest"
)

func dnsFindings() map[string]finding {
	// zone is the DNS; own are the host's addresses besides loopback.
	zone := func(own string, records ...string) func(*hosttest.Machine, *PreflightInput) {
		return func(_ *hosttest.Machine, in *PreflightInput) {
			z := map[string]string{}
			for _, r := range records {
				key, addrs, _ := strings.Cut(r, "=")
				z[key] = addrs
			}
			in.Resolve = resolves(z)
			in.Addresses = func() ([]netip.Addr, error) {
				return resolves(map[string]string{"": "127.0.0.1 fe80::1 " + own})(context.Background(), "", "")
			}
		}
	}
	private := func(f func(*hosttest.Machine, *PreflightInput)) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, in *PreflightInput) { in.ACME = false; f(m, in) }
	}
	const name = "registry.example.com"
	nobody := private(zone("192.0.2.7"))
	return map[string]finding{
		"both":        {"dns", zone("192.0.2.7 2001:db8::7", name+"=192.0.2.7 2001:db8::7"), "ok: " + name + " is 192.0.2.7, 2001:db8::7, this host"},
		"mapped":      {"dns", zone("192.0.2.7", name+"=::ffff:192.0.2.7"), "ok: " + name + " is 192.0.2.7, this host"},
		"none":        {"dns", zone("192.0.2.7"), "error: " + name + " has no address → add to the DNS: " + name + " A 192.0.2.7"},
		"none, 6":     {"dns", zone("2001:db8::7"), "error: " + name + " has no address → add to the DNS: " + name + " AAAA 2001:db8::7"},
		"none, NAT":   {"dns", zone("10.0.0.7"), "error: " + name + " has no address → add an A record of " + name + " to the DNS, or to /etc/hosts of the clients"},
		"none, local": {"dns", nobody, "warning: " + name + " has no address → add to the DNS: " + name + " A 192.0.2.7"},
		"elsewhere":   {"dns", zone("192.0.2.7", name+"=198.51.100.1"), "error: " + name + " is 198.51.100.1, which is not this host (192.0.2.7) → change the A record of " + name + " to 192.0.2.7"},
		"one of two":  {"dns", zone("192.0.2.7", name+"=192.0.2.7 198.51.100.1"), "error: " + name + " is 198.51.100.1, which is not this host (192.0.2.7) → change the A record of " + name + " to 192.0.2.7"},
		"NAT":         {"dns", zone("10.0.0.7", name+"=198.51.100.1"), "warning: " + name + " is 198.51.100.1, which is on no interface; this host has 10.0.0.7: right if something passes it on (NAT), as clouds do"},
		"carrier NAT": {"dns", zone("100.64.0.7", name+"=198.51.100.1"), "warning: " + name + " is 198.51.100.1, which is on no interface; this host has 100.64.0.7: right if something passes it on (NAT), as clouds do"},
		"no IPv6":     {"dns", zone("192.0.2.7", name+"=192.0.2.7 2001:db8::7"), "error: " + name + " has the AAAA record 2001:db8::7, and this host has no IPv6 → delete the AAAA record, or set up IPv6"},
		"other IPv6":  {"dns", zone("192.0.2.7 2001:db8::7", name+"=192.0.2.7 2001:db8::8"), "error: " + name + " is 2001:db8::8, which is not this host (2001:db8::7) → change the AAAA record of " + name + " to 2001:db8::7"},
		"loopback":    {"dns", zone("192.0.2.7", name+"=127.0.1.1"), "warning: " + name + " is 127.0.1.1 here, probably by /etc/hosts: what clients see is not known → dig +short " + name + " A"},
		"an address":  {"dns", func(_ *hosttest.Machine, in *PreflightInput) { in.Hosts = []string{"192.0.2.7"} }, "ok: 192.0.2.7 is an address"},
		"two names": {"dns", func(_ *hosttest.Machine, in *PreflightInput) { in.Hosts = append(in.Hosts, "auth.example.com") },
			"ok: " + name + " is 192.0.2.7, this host\nerror: auth.example.com has no address → add to the DNS: auth.example.com A 192.0.2.7"},
		"no DNS": {"dns", func(_ *hosttest.Machine, in *PreflightInput) {
			in.Resolve = func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("i/o timeout") }
		}, "warning: " + name + ": i/o timeout → look at /etc/resolv.conf"},
		"no interfaces": {"dns", func(_ *hosttest.Machine, in *PreflightInput) {
			in.Addresses = func() ([]netip.Addr, error) { return nil, errors.New("netlink") }
		}, "warning: cannot tell: netlink"},
	}
}
