package provision

import (
	"context"
	"errors"

	"regctl/provision/host/hosttest"
)

func engineFindings() map[string]finding {
	answers := func(change func(*EngineInfo)) func(*hosttest.Machine, *PreflightInput) {
		return func(_ *hosttest.Machine, in *PreflightInput) {
			info, _ := in.Engine(context.Background())
			change(&info)
			in.Engine = func(context.Context) (EngineInfo, error) { return info, nil }
		}
	}
	silent := func(change func(*hosttest.Machine, *PreflightInput)) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, in *PreflightInput) {
			in.Engine = func(context.Context) (EngineInfo, error) { return EngineInfo{}, errors.New("no engine answers") }
			change(m, in)
		}
	}
	at := func(address string) func(*hosttest.Machine, *PreflightInput) {
		return func(_ *hosttest.Machine, in *PreflightInput) { in.EngineHost = address }
	}
	none := silent(lacks("/usr/sbin/dockerd"))
	return map[string]finding{
		"debian 12":    {"engine", answers(func(i *EngineInfo) { i.Version, i.API = "20.10.24+dfsg1", "1.41" }), "ok: 20.10.24+dfsg1, API 1.41"},
		"old":          {"engine", answers(func(i *EngineInfo) { i.Version, i.API = "19.03.15", "1.40" }), "error: engine 19.03.15 speaks API 1.40; 1.41 is needed → upgrade the engine to 20.10 or newer"},
		"rootless":     {"engine", answers(func(i *EngineInfo) { i.Rootless = true }), "error: the engine is rootless: it has neither ports below 1024 nor the users of this host → install the engine of the system: apt-get install docker.io"},
		"snap":         {"engine", answers(func(i *EngineInfo) { i.Root = "/var/snap/docker/common/var-lib-docker" }), "error: the engine is the snap's, which cannot see /srv/regctl → snap remove docker"},
		"other socket": {"engine", at("unix:///run/other.sock"), "ok: 29.1.3, API 1.52"},
		"tcp":          {"engine", at("tcp://192.0.2.9:2376"), "warning: 29.1.3, at tcp://192.0.2.9:2376: it has to run on this host, because containers mount /srv/regctl → unset DOCKER_HOST, or choose another docker context"},
		"silent":       {"engine", silent(func(*hosttest.Machine, *PreflightInput) {}), "warning: it is installed and does not answer: the packages step starts it → see why: journalctl -u docker, or /var/log/docker.log"},
		"silent there": {"engine", silent(at("unix:///run/other.sock")), "error: no engine answers → start it, or unset DOCKER_HOST"},
		"none":         {"engine", none, "ok: none yet: the packages step installs docker.io"},
		"none, no apt": {"engine", func(m *hosttest.Machine, in *PreflightInput) { none(m, in); m.Remove(aptGet) }, "error: there is none, and no apt to install one → install Docker: https://docs.docker.com/engine/install/"},
		"containerd.io": {"engine", func(m *hosttest.Machine, in *PreflightInput) {
			none(m, in)
			put(m, "/var/lib/dpkg/info/containerd.io.list", "")
		}, "error: there is none, and containerd.io, which is of Docker's own packages, keeps docker.io out → apt-get install docker-ce"},

		"nftables":    {"engine-firewall", answers(func(i *EngineInfo) { i.Firewall = "nftables" }), "warning: the engine uses nftables: there is no DOCKER-USER chain, so rules there (ufw-docker, fail2ban) do not guard what other containers publish; regctl's own publish nothing"},
		"before 29":   {"engine-firewall", answers(func(i *EngineInfo) { i.Firewall = "" }), "ok: iptables"},
		"firewalld":   {"engine-firewall", answers(func(i *EngineInfo) { i.Firewall = "iptables+firewalld" }), "ok: iptables+firewalld"},
		"none to ask": {"engine-firewall", none, "ok: no engine to ask yet"},
	}
}
