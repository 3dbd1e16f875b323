package provision

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"regctl/provision/host"
)

// process is a running program.
type process struct {
	pid       int
	name      string // as ps(1) has it
	unit      string // systemd's name of the service: "nginx.service"
	container string // a Docker container's id
}

// String names the process for people: "nginx (pid 812)".
func (p process) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

// whoHas returns the processes, by pid, that have a file open which wanted picks by what
// the links in /proc/PID/fd say: a path, or "socket:[INODE]" (proc_pid_fd(5)).
// It only sees processes of other users as root.
func whoHas(l host.Looker, wanted func(file string) bool) ([]process, error) {
	pids, err := l.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, name := range pids {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		has, err := hasOpen(l, pid, wanted)
		if err != nil {
			return nil, err
		}
		if has {
			found = append(found, processOf(l, name))
		}
	}
	slices.SortFunc(found, func(a, b process) int { return cmp.Compare(a.pid, b.pid) })
	return found, nil
}

// hasOpen is false for a process that ends while it is looked at.
func hasOpen(l host.Looker, pid int, wanted func(file string) bool) (bool, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	numbers, err := l.ReadDir(dir)
	for _, n := range numbers {
		if file, err := l.ReadLink(filepath.Join(dir, n)); err == nil && wanted(file) {
			return true, nil
		}
	}
	if err != nil && !gone(err) && !errors.Is(err, fs.ErrPermission) {
		return false, err
	}
	return false, nil
}

// gone reports whether an error of reading in /proc is that of a process which
// has ended.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// Paths of control groups: Docker's with either of its cgroup drivers, and
// systemd's of a service.
var (
	dockerScope = regexp.MustCompile(`docker[/-]([0-9a-f]{64})(?:\.scope)?$`)
	serviceUnit = regexp.MustCompile(`/([^/]+\.service)(?:/|$)`)
)

// processOf describes the process from /proc/PID/comm and cgroup; what it does
// not tell stays empty.
func processOf(l host.Looker, pid string) process {
	p := process{name: "a process"}
	p.pid, _ = strconv.Atoi(pid)
	if comm, err := readText(l, filepath.Join("/proc", pid, "comm")); err == nil {
		p.name = strings.TrimSpace(comm)
	}
	p.container, p.unit = groupsOf(l, pid)
	// A regctl in a container may see its own id in every process there.
	if own, _ := groupsOf(l, "self"); p.container == own {
		p.container = ""
	}
	return p
}

// groupsOf reads cgroups(7): lines like "0::/system.slice/nginx.service".
func groupsOf(l host.Looker, pid string) (container, unit string) {
	text, err := readText(l, filepath.Join("/proc", pid, "cgroup"))
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(text) {
		path := strings.TrimSpace(line[strings.LastIndex(line, ":")+1:])
		if m := dockerScope.FindStringSubmatch(path); m != nil {
			container = m[1]
		} else if m := serviceUnit.FindStringSubmatch(path); m != nil {
			unit = m[1]
		}
	}
	return container, unit
}
