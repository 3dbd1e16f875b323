package provision

import (
	"context"
	"strings"

	"regctl/provision/host"
)

// leastAPI is the API of Docker 20.10, the oldest engine that regctl is tested
// with.
const leastAPI = "1.41"

// packagedEngine is where the engine of a Debian package listens.
const packagedEngine = "unix:///var/run/docker.sock"

// isPackaged reports whether an engine of this address is one that the packages
// step looks after.
func isPackaged(engineHost string) bool { return engineHost == "" || engineHost == packagedEngine }

func (in PreflightInput) checkEngine(ctx context.Context, l host.Looker) []Finding {
	info, err := in.Engine(ctx)
	switch {
	case err != nil:
		return in.noEngine(l, err)
	case strings.HasPrefix(info.Root, "/var/snap/"):
		return fail("snap remove docker", "the engine is the snap's, which cannot see %s", in.Dir)
	case info.Rootless:
		return fail("install the engine of the system: apt-get install docker.io", "the engine is rootless: it has neither ports below 1024 nor the users of this host")
	case older(info.API, leastAPI):
		return fail("upgrade the engine to 20.10 or newer", "engine %s speaks API %s; %s is needed", info.Version, info.API, leastAPI)
	case in.EngineHost != "" && !strings.HasPrefix(in.EngineHost, "unix://"):
		return warn("unset DOCKER_HOST, or choose another docker context", "%s, at %s: it has to run on this host, because containers mount %s", info.Version, in.EngineHost, in.Dir)
	}
	return okay("%s, API %s", info.Version, info.API)
}

// noEngine says what becomes of a host whose engine does not answer.
func (in PreflightInput) noEngine(l host.Looker, cause error) []Finding {
	if !isPackaged(in.EngineHost) {
		return fail("start it, or unset DOCKER_HOST", "%v", cause)
	}
	switch there, err := engineProgram(l); {
	case err != nil:
		return unknown(err)
	case there:
		return warn("see why: journalctl -u docker, or /var/log/docker.log", "it is installed and does not answer: the packages step starts it")
	}
	apt, err := host.Exists(l, aptGet)
	switch {
	case err != nil:
		return unknown(err)
	case !apt:
		return fail("install Docker: https://docs.docker.com/engine/install/", "there is none, and no apt to install one")
	}
	if found, err := host.Exists(l, "/var/lib/dpkg/info/containerd.io.list"); err != nil {
		return unknown(err)
	} else if found {
		return fail("apt-get install docker-ce", "there is none, and containerd.io, which is of Docker's own packages, keeps docker.io out")
	}
	return okay("none yet: the packages step installs docker.io")
}

// engineProgram reports whether an engine is installed, whoever packaged it:
// docker.io has it in /usr/sbin, docker-ce in /usr/bin.
func engineProgram(l host.Looker) (bool, error) {
	for _, path := range []string{"/usr/sbin/dockerd", "/usr/bin/dockerd"} {
		if found, err := host.Exists(l, path); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// checkEngineFirewall: regctl publishes no ports, so it does not depend on the
// backend; what other containers publish does.
func (in PreflightInput) checkEngineFirewall(ctx context.Context, _ host.Looker) []Finding {
	info, err := in.Engine(ctx)
	switch {
	case err != nil:
		return okay("no engine to ask yet")
	case strings.HasPrefix(info.Firewall, "nftables"):
		return warn("", "the engine uses nftables: there is no DOCKER-USER chain, so rules there (ufw-docker, fail2ban) do not guard what other containers publish; regctl's own publish nothing")
	case info.Firewall == "":
		return okay("iptables") // engines before 29 know nothing else
	}
	return okay("%s", info.Firewall)
}
