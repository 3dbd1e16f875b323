package provision

import (
	"context"
	"net"
	"net/netip"
)

// PreflightInput is what is to be set up, as far as the host has to bear it.
type PreflightInput struct {
	Dir                 string
	Hosts               []string // public names
	HTTPPort, HTTPSPort int

	// ACME says that a certificate authority in the internet will connect to the
	// names. Without it a name that does not point here is only a warning.
	ACME  bool
	Mongo bool // MongoDB is the store

	// EngineHost is the engine's address as in DOCKER_HOST; "" is the socket of
	// an engine that a package installs.
	EngineHost string
	// Engine asks the engine. Any error means that it does not answer.
	Engine func(context.Context) (EngineInfo, error)

	// Resolve is [net.Resolver.LookupNetIP], which nil stands for too. It is
	// asked for network "ip": IPv4 and IPv6 at once.
	Resolve func(ctx context.Context, network, name string) ([]netip.Addr, error)
	// Addresses are those of the host's interfaces; nil asks the kernel.
	Addresses func() ([]netip.Addr, error)
}

// EngineInfo is what preflight wants to know of a Docker engine.
type EngineInfo struct {
	Version, API string // "29.1.3", "1.52"
	Firewall     string // what it manages packets with; "" from engines before 29
	Root         string // directory of its images
	Rootless     bool
}

// PreflightChecks are all checks, always the same: one that does not apply
// says so. They have the order in which people read the results.
func PreflightChecks(in PreflightInput) []PreflightCheck {
	if in.Resolve == nil {
		in.Resolve = net.DefaultResolver.LookupNetIP
	}
	if in.Addresses == nil {
		in.Addresses = interfaceAddresses
	}
	return []PreflightCheck{
		{"root", checkRoot},
		{"os", checkOS},
		{"systemd", checkSystemd},
		{"engine", in.checkEngine},
		{"engine-firewall", in.checkEngineFirewall},
		{"ports", in.checkPorts},
		{"dns", in.checkDNS},
		{"clock", checkClock},
		{"dir", in.checkDir},
		{"disk", in.checkDisk},
		{"memory", in.checkMemory},
		{"avx", in.checkAVX},
		{"apt-lock", checkAptLock},
		{"mac", in.checkMAC},
		{"existing", in.checkExisting},
	}
}
