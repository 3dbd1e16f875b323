package provision

import (
	"strings"

	"regctl/provision/host/hosttest"
)

const container = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"

func portFindings() map[string]finding {
	type change = func(*hosttest.Machine, *PreflightInput)
	// listens has a process hold port 443 on every IPv6 address.
	listens := func(pid int, name, cgroup string, more ...change) change {
		return func(m *hosttest.Machine, in *PreflightInput) {
			put(m, "/proc/net/tcp6", tcpHead+tcpLine(strings.Repeat("0", 32)+":01BB", "0A", 4711))
			running(m, pid, name, cgroup, "socket:[4711]")
			for _, c := range more {
				c(m, in)
			}
		}
	}
	mounted := func(pid, where string) change {
		return func(m *hosttest.Machine, _ *PreflightInput) {
			m.Symlink("/proc/self/ns/mnt", "mnt:[1]")
			m.Symlink("/proc/"+pid+"/ns/mnt", "mnt:[2]")
			put(m, "/proc/"+pid+"/mountinfo", "22 21 8:1 / / rw - overlay overlay rw\n23 22 8:1 /srv/regctl/run/auth "+where+" rw,relatime - ext4 /dev/sda1 rw\n")
		}
	}
	const another = ", or choose another --https-port"
	return map[string]finding{
		"apt's nginx": {"ports", listens(812, "nginx", "/system.slice/nginx.service", has("/var/lib/dpkg/info/nginx-common.list", "")),
			"error: 443 is held by nginx (pid 812) from apt → systemctl disable --now nginx" + another},
		"a unit": {"ports", listens(812, "caddy", "/system.slice/my-caddy.service"), "error: 443 is held by caddy (pid 812) → systemctl disable --now my-caddy" + another},
		"a script": {"ports", listens(812, "apache2", "/", has("/etc/init.d/apache2", ""), has("/var/lib/dpkg/info/apache2.list", "")),
			"error: 443 is held by apache2 (pid 812) from apt → service apache2 stop && update-rc.d apache2 disable" + another},
		"a program":   {"ports", listens(812, "server", "/user.slice/user-0.slice/session-1.scope", has("/var/lib/dpkg/info/server.list", "")), "error: 443 is held by server (pid 812) → kill 812" + another},
		"a container": {"ports", listens(812, "nginx", "/system.slice/docker-"+container+".scope"), "error: 443 is held by nginx (pid 812) in container f00dfeedf00d → docker stop f00dfeedf00d" + another},
		"cgroupfs":    {"ports", listens(812, "nginx", "/docker/"+container), "error: 443 is held by nginx (pid 812) in container f00dfeedf00d → docker stop f00dfeedf00d" + another},
		"published":   {"ports", listens(812, "docker-proxy", "/system.slice/docker.service"), "error: 443 is held by docker-proxy (pid 812) → stop the container that publishes it: docker ps --filter publish=443" + another},
		"the lowest":  {"ports", listens(1000, "nginx", "/", func(m *hosttest.Machine, _ *PreflightInput) { running(m, 999, "nginx", "/", "socket:[4711]") }), "error: 443 is held by nginx (pid 999) → kill 999" + another},
		"ours":        {"ports", listens(812, "nginx", "/docker/"+container, mounted("812", "/srv/regctl/run/auth")), "ok: 80 is free, 443 is held by this installation"},
		"another's":   {"ports", listens(812, "nginx", "/docker/"+container, mounted("812", "/srv/regctl2/run/auth")), "error: 443 is held by nginx (pid 812) in container f00dfeedf00d → docker stop f00dfeedf00d" + another},
		"not on a host": {"ports", listens(812, "nginx", "/", mounted("812", "/srv/regctl/run/auth"), func(m *hosttest.Machine, _ *PreflightInput) {
			m.Remove("/proc/812/ns/mnt")
			m.Symlink("/proc/812/ns/mnt", "mnt:[1]")
		}), "error: 443 is held by nginx (pid 812) → kill 812" + another},
		"unseen": {"ports", has("/proc/net/tcp", tcpHead+tcpLine("0100007F:0050", "0A", 1)),
			"error: 80 is held by a process that is not to be seen from here → find it as root: ss -ltnp sport = 80, or choose another --http-port"},
		"other ports": {"ports", listens(812, "nginx", "/", func(_ *hosttest.Machine, in *PreflightInput) { in.HTTPPort, in.HTTPSPort = 8080, 8443 }), "ok: 8080 and 8443 are free"},
		"no IPv6":     {"ports", lacks("/proc/net/tcp6"), "ok: 80 and 443 are free"},
		"at boot":     {"ports", has("/etc/systemd/system/multi-user.target.wants/nginx.service", ""), "warning: nginx starts with this host and may take the ports → systemctl disable nginx"},
		"at boot, by a script": {"ports", func(m *hosttest.Machine, in *PreflightInput) {
			lacks("/run/systemd/system")(m, in)
			put(m, "/etc/rc2.d/S01nginx", "")
			put(m, "/etc/rc2.d/K01apache2", "")
		}, "warning: nginx starts with this host and may take the ports → update-rc.d nginx disable"},
		"now and at boot": {"ports", listens(812, "nginx", "/system.slice/nginx.service", has("/etc/systemd/system/multi-user.target.wants/nginx.service", "")),
			"error: 443 is held by nginx (pid 812) → systemctl disable --now nginx" + another},
	}
}
