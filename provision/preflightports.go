package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"regctl/provision/host"
)

// checkPorts finds out who listens on the edge's ports, without a program.
func (in PreflightInput) checkPorts(_ context.Context, l host.Looker) []Finding {
	var found []Finding
	var free, ours, holders []string
	for _, p := range []struct {
		number int
		flag   string
	}{{in.HTTPPort, "--http-port"}, {in.HTTPSPort, "--https-port"}} {
		holder, held, err := listener(l, p.number)
		switch {
		case err != nil:
			return unknown(err)
		case !held:
			free = append(free, strconv.Itoa(p.number))
		case in.isOurs(l, holder):
			ours = append(ours, strconv.Itoa(p.number))
		default:
			holders = append(holders, holder.name)
			found = append(found, fail(freeing(l, holder, p.number)+", or choose another "+p.flag, "%d is held by %s", p.number, describe(l, holder))...)
		}
	}
	found = append(found, in.bootServers(l, holders)...)
	switch {
	case len(found) > 0:
		return found
	case len(free) == 0:
		return okay("%s held by this installation", are(ours))
	case len(ours) > 0:
		return okay("%s free, %s held by this installation", are(free), are(ours))
	}
	return okay("%s free", are(free))
}

// are is "80 is", "80 and 443 are".
func are(ports []string) string {
	if len(ports) == 1 {
		return ports[0] + " is"
	}
	return strings.Join(ports, " and ") + " are"
}

// listener returns the process that listens on a TCP port in this network
// namespace. Its pid is 0 when nobody here is seen to have the socket open.
func listener(l host.Looker, port int) (_ process, held bool, err error) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := readText(l, table)
		if errors.Is(err, fs.ErrNotExist) { // no IPv6
			continue
		}
		if err != nil {
			return process{}, false, err
		}
		for _, inode := range listening(text, port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	if len(sockets) == 0 {
		return process{}, false, nil
	}
	found, err := whoHas(l, func(file string) bool { return sockets[file] })
	if err != nil || len(found) == 0 {
		return process{name: "a process that is not to be seen from here"}, true, err
	}
	return found[0], true, nil // the lowest pid: of nginx, the master
}

// listening returns the inodes of the sockets that listen on a port. A line of
// /proc/net/tcp is, by proc_pid_net(5):
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 …
func listening(table string, port int) (inodes []string) {
	const listen = "0A" // TCP_LISTEN: include/net/tcp_states.h
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == listen && strings.HasSuffix(f[1], suffix) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// isOurs recognises a container of this installation by what it mounts: its
// directories appear under their own paths, in a mount namespace that is not
// the host's.
func (in PreflightInput) isOurs(l host.Looker, p process) bool {
	dir := filepath.Join("/proc", strconv.Itoa(p.pid))
	its, err := l.ReadLink(filepath.Join(dir, "ns", "mnt"))
	if err != nil {
		return false
	}
	if own, err := l.ReadLink("/proc/self/ns/mnt"); err != nil || own == its {
		return false
	}
	mounts, err := readText(l, filepath.Join(dir, "mountinfo"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(mounts) {
		// The fifth field is where: proc_pid_mountinfo(5).
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], in.Dir+"/") {
			return true
		}
	}
	return false
}

// describe says what holds a port, and where it is from.
func describe(l host.Looker, p process) string {
	switch {
	case p.pid == 0:
		return p.name
	case p.container != "":
		return fmt.Sprintf("%v in container %.12s", p, p.container)
	case (p.unit != "" || hasScript(l, p.name)) && fromApt(l, p.name):
		return fmt.Sprintf("%v from apt", p)
	}
	return p.String()
}

// fromApt reports whether a Debian package of this name is installed; nginx's
// program is in packages of several names that share nginx-common.
func fromApt(l host.Looker, name string) bool {
	for _, pkg := range []string{name, name + "-common"} {
		if found, err := host.Exists(l, "/var/lib/dpkg/info/"+pkg+".list"); found && err == nil {
			return true
		}
	}
	return false
}

// hasScript reports whether a service of this name has a script that starts it.
func hasScript(l host.Looker, name string) bool {
	found, err := host.Exists(l, "/etc/init.d/"+name)
	return found && err == nil
}

// freeing is the command that makes p let go of a port.
func freeing(l host.Looker, p process, port int) string {
	switch {
	case p.pid == 0:
		return fmt.Sprintf("find it as root: ss -ltnp sport = %d", port)
	case p.container != "":
		return fmt.Sprintf("docker stop %.12s", p.container)
	case p.name == "docker-proxy" || p.name == "dockerd":
		return fmt.Sprintf("stop the container that publishes it: docker ps --filter publish=%d", port)
	case p.unit != "":
		return "systemctl disable --now " + strings.TrimSuffix(p.unit, ".service")
	}
	if hasScript(l, p.name) {
		return fmt.Sprintf("service %s stop && update-rc.d %s disable", p.name, p.name)
	}
	return fmt.Sprintf("kill %d", p.pid)
}

// bootServers warns of web servers that do not run now and will after a
// restart of the host, when they may be the first to take the ports. Those that
// hold a port now were told of already.
func (in PreflightInput) bootServers(l host.Looker, holders []string) (found []Finding) {
	if in.HTTPPort != 80 && in.HTTPSPort != 443 {
		return nil
	}
	for _, name := range []string{"nginx", "apache2", "caddy", "haproxy", "lighttpd"} {
		if disable := disabling(l, name); disable != "" && !slices.Contains(holders, name) {
			found = append(found, warn(disable, "%s starts with this host and may take the ports", name)...)
		}
	}
	return found
}

// disabling is the command that keeps a service from starting with the host;
// "" if it does not.
func disabling(l host.Looker, service string) string {
	if systemd, _ := hasSystemd(l); systemd {
		if wanted, _ := host.Exists(l, "/etc/systemd/system/multi-user.target.wants/"+service+".service"); wanted {
			return "systemctl disable " + service
		}
		return ""
	}
	scripts, _ := l.ReadDir("/etc/rc2.d")
	for _, script := range scripts { // "S01nginx": update-rc.d(8)
		if strings.HasPrefix(script, "S") && strings.TrimLeft(script, "S0123456789") == service {
			return "update-rc.d " + service + " disable"
		}
	}
	return ""
}
