package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"regctl/provision/host"
)

// interfaceAddresses are those of this host's interfaces.
func interfaceAddresses() (out []netip.Addr, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, err
}

// checkDNS asks whether the public names point here, for IPv4 and IPv6: a
// certificate authority that finds an AAAA record connects to it.
func (in PreflightInput) checkDNS(ctx context.Context, _ host.Looker) []Finding {
	own, err := in.Addresses()
	if err != nil {
		return unknown(err)
	}
	of := make([][]Finding, len(in.Hosts))
	var wg sync.WaitGroup
	for i, name := range in.Hosts {
		wg.Go(func() { of[i] = in.checkName(ctx, name, own) })
	}
	wg.Wait()
	found := slices.Concat(of...)
	if !in.ACME {
		for i := range found {
			if found[i].Level == LevelError {
				found[i].Level = LevelWarning
			}
		}
	}
	return found
}

func (in PreflightInput) checkName(ctx context.Context, name string, own []netip.Addr) []Finding {
	if _, err := netip.ParseAddr(name); err == nil {
		return okay("%s is an address", name)
	}
	addrs, err := in.Resolve(ctx, "ip", name)
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fail(wantRecord(name, own), "%s has no address", name)
	}
	if err != nil {
		return warn("look at /etc/resolv.conf", "%s: %v", name, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	var found []Finding
	for _, v4 := range []bool{true, false} {
		of := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Is4() != v4 })
		if f := judge(name, of, own); f != nil {
			found = append(found, *f)
		}
	}
	if len(found) == 0 {
		return okay("%s is %s, this host", name, join(addrs))
	}
	return found
}

// judge compares the addresses of one version that a name has with this host's;
// nil if they are as they should be.
func judge(name string, addrs, own []netip.Addr) *Finding {
	for _, a := range addrs {
		record, reachable := recordOf(a), publicOf(own, a.Is4())
		switch {
		case a.IsLoopback():
			// cloud-init writes the host's own name so; clients see something else.
			return &Finding{LevelWarning, fmt.Sprintf("%s is %s here, probably by /etc/hosts: what clients see is not known", name, a), "dig +short " + name + " " + record}
		case slices.Contains(own, a):
			continue
		case a.Is6() && len(reachable) == 0:
			return &Finding{LevelError, fmt.Sprintf("%s has the AAAA record %s, and this host has no IPv6", name, a), "delete the AAAA record, or set up IPv6"}
		case len(reachable) == 0:
			return &Finding{LevelWarning, fmt.Sprintf("%s is %s, which is on no interface; this host has %s: right if something passes it on (NAT), as clouds do", name, a, join(globalOf(own, a.Is4()))), ""}
		}
		return &Finding{LevelError, fmt.Sprintf("%s is %s, which is not this host (%s)", name, a, join(reachable)), fmt.Sprintf("change the %s record of %s to %s", record, name, reachable[0])}
	}
	return nil
}

// wantRecord is the DNS record that is missing.
func wantRecord(name string, own []netip.Addr) string {
	for _, v4 := range []bool{true, false} {
		if public := publicOf(own, v4); len(public) > 0 {
			return fmt.Sprintf("add to the DNS: %s %s %s", name, recordOf(public[0]), public[0])
		}
	}
	return fmt.Sprintf("add an A record of %s to the DNS, or to /etc/hosts of the clients", name)
}

// recordOf is the type of an address's DNS record.
func recordOf(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

// globalOf are the addresses of one version that go beyond this host and link.
func globalOf(addrs []netip.Addr, v4 bool) (out []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() == v4 && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			out = append(out, a)
		}
	}
	return out
}

// publicOf are those of them that others can reach without NAT.
func publicOf(addrs []netip.Addr, v4 bool) []netip.Addr {
	shared := netip.MustParsePrefix("100.64.0.0/10") // of carriers: RFC 6598
	return slices.DeleteFunc(globalOf(addrs, v4), func(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) })
}

func join(addrs []netip.Addr) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	if len(texts) == 0 {
		return "none"
	}
	return few(texts)
}
