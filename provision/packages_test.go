package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
	"regctl/provision/step"
)

// debian is a host whose apt, dpkg and services keep their state, and refuse
// what they do not know.
type debian struct {
	*hosttest.Machine
	mu       sync.Mutex
	archive  []string          // packages that can be had
	services map[string]bool   // running, of those that are installed
	fails    map[string]string // what apt-get prints when a subcommand fails, the first time
	locked   int               // how many calls of apt-get find a lock taken
	updated  bool
	runs     []string
}

func newDebian(t *testing.T, systemd bool, archive ...string) *debian {
	d := &debian{Machine: hosttest.New(t), archive: archive, services: map[string]bool{}, fails: map[string]string{}}
	put(d.Machine, aptGet, "")
	put(d.Machine, "/usr/bin/dpkg-query", "")
	put(d.Machine, "/var/lib/dpkg/status", "installed base-files\nconfig-files ufw\n")
	d.MkdirAll("/srv/regctl")
	if systemd {
		d.MkdirAll("/run/systemd/system")
	}
	return d
}

// withApt lets dpkg-query and apt-get be called.
func (d *debian) withApt() *debian {
	d.Install("/usr/bin/dpkg-query", hosttest.Program{Look: func(c host.Cmd) (hosttest.Reply, bool) {
		text, _ := readText(d, "/var/lib/dpkg/status")
		return hosttest.Reply{Stdout: text}, slices.Equal(c.Argv[1:], []string{"--show", "--showformat", `${db:Status-Status} ${Package}\n`})
	}})
	d.Install(aptGet, hosttest.Program{Run: d.aptGet})
	return d
}

// withCache lets apt-cache be called.
func (d *debian) withCache() *debian {
	d.Install("/usr/bin/apt-cache", hosttest.Program{Look: func(c host.Cmd) (hosttest.Reply, bool) {
		if slices.Contains(d.archive, "docker-cli") {
			return hosttest.Reply{Stdout: "Package: docker-cli\n"}, c.String() == "/usr/bin/apt-cache show docker-cli"
		}
		return hosttest.Reply{Exit: 100, Stderr: "E: No packages found\n"}, c.String() == "/usr/bin/apt-cache show docker-cli"
	}})
	return d
}

const aptOptions = "--quiet --yes --option DPkg::Lock::Timeout=0 --option Dpkg::Options::=--force-confdef --option Dpkg::Options::=--force-confold "

func (d *debian) aptGet(c host.Cmd) (hosttest.Reply, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	args, ok := strings.CutPrefix(strings.Join(c.Argv[1:], " "), aptOptions)
	if !ok || c.Env["DEBIAN_FRONTEND"] != "noninteractive" || c.Env["NEEDRESTART_MODE"] != "l" {
		return hosttest.Reply{}, false
	}
	if d.locked > 0 {
		d.locked--
		return hosttest.Reply{Exit: 100, Stderr: "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (unattended-upgr)\nE: Unable to lock directory /var/lib/apt/lists/\n"}, true
	}
	d.runs = append(d.runs, args)
	verb, rest, _ := strings.Cut(args, " ")
	if text, ok := d.fails[verb]; ok {
		delete(d.fails, verb)
		return hosttest.Reply{Exit: 100, Stderr: text}, true
	}
	if verb == "update" {
		d.updated = true
		return hosttest.Reply{}, rest == ""
	}
	names, ok := strings.CutPrefix(rest, "--no-install-recommends --no-upgrade --no-remove -- ")
	if verb != "install" || !ok {
		return hosttest.Reply{}, false
	}
	for name := range strings.FieldsSeq(names) {
		if !d.updated || !slices.Contains(d.archive, name) {
			return hosttest.Reply{Exit: 100, Stderr: "E: Unable to locate package " + name + "\n"}, true
		}
		status, _ := readText(d, "/var/lib/dpkg/status")
		put(d.Machine, "/var/lib/dpkg/status", status+"installed "+name+"\n")
		switch name {
		case "docker.io":
			put(d.Machine, "/usr/sbin/dockerd", "")
		case "apparmor":
			put(d.Machine, "/usr/sbin/apparmor_parser", "")
		}
	}
	return hosttest.Reply{}, true
}

// withServices lets services be asked for and started.
func (d *debian) withServices(programs ...string) *debian {
	start := func(name string) (hosttest.Reply, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.services["broken "+name] {
			return hosttest.Reply{Exit: 1, Stderr: name + " failed\n"}, true
		}
		d.services[name] = true
		return hosttest.Reply{}, true
	}
	for _, p := range programs {
		d.Install(p, hosttest.Program{
			Look: func(c host.Cmd) (hosttest.Reply, bool) {
				name := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(c.String(), "service "), "systemctl is-active --quiet "), " status")
				d.mu.Lock()
				defer d.mu.Unlock()
				if d.services[name] {
					return hosttest.Reply{}, true
				}
				return hosttest.Reply{Exit: 3}, true
			},
			Run: func(c host.Cmd) (hosttest.Reply, bool) {
				d.mu.Lock()
				d.runs = append(d.runs, c.String())
				d.mu.Unlock()
				switch {
				case c.Argv[0] == "update-rc.d" && len(c.Argv) == 3 && c.Argv[2] == "defaults":
					return hosttest.Reply{}, true
				case c.Argv[0] == "service" && len(c.Argv) == 3 && c.Argv[2] == "start":
					return start(c.Argv[1])
				case c.Argv[0] == "systemctl" && len(c.Argv) == 4 && c.Argv[1] == "enable" && c.Argv[2] == "--now":
					return start(c.Argv[3])
				}
				return hosttest.Reply{}, false
			},
		})
	}
	return d
}

func (d *debian) ping(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services[dockerService] {
		return nil
	}
	return errors.New("no engine answers")
}

func (d *debian) step(change func(*PackagesInput)) step.Step {
	in := PackagesInput{Ping: d.ping, Record: Paths{"/srv/regctl"}.Packages()}
	if change != nil {
		change(&in)
	}
	return NewPackages(in)
}

// converge is what the set-up does with a step, and the text of its plan.
func converge(t *testing.T, d *debian, s step.Step) string {
	t.Helper()
	planned, err := s.Check(t.Context(), d.Looker())
	if err != nil {
		t.Fatal(err)
	}
	if planned.Action == step.Create || planned.Action == step.Update {
		if err := s.Apply(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if after, err := s.Check(t.Context(), d.Looker()); err != nil || after.Action != step.Keep {
			t.Fatalf("applied, and still %v, %v", after, err)
		}
	}
	return planned.String()
}

func TestPackagesTwice(t *testing.T) {
	t.Parallel()
	firewall := func(in *PackagesInput) { in.Extra, in.Services = []string{"ufw", "fail2ban"}, []string{"fail2ban"} }
	const install = "install --no-install-recommends --no-upgrade --no-remove -- "
	for name, c := range map[string]struct {
		host  func(t *testing.T) *debian
		input func(*PackagesInput)
		want  string // first plan
		keep  string // second plan
		runs  []string
		noted string
	}{
		"from nothing, systemd": {
			func(t *testing.T) *debian {
				return newDebian(t, true, "docker.io", "ca-certificates").withApt().withCache().withServices("systemctl")
			}, nil,
			"create: not installed: docker.io, ca-certificates", "keep: the engine answers",
			[]string{"update", install + "docker.io ca-certificates", "systemctl enable --now docker"}, "ca-certificates docker.io",
		},
		"from nothing, scripts, Debian 13, AppArmor": {
			func(t *testing.T) *debian {
				d := newDebian(t, false, "docker.io", "ca-certificates", "docker-cli", "apparmor").withApt().withCache().withServices("service", "update-rc.d")
				put(d.Machine, "/sys/module/apparmor/parameters/enabled", "Y\n")
				return d
			}, nil,
			"create: not installed: docker.io, ca-certificates, apparmor", "keep: the engine answers",
			[]string{"update", install + "docker.io ca-certificates apparmor docker-cli", "update-rc.d docker defaults", "service docker start"},
			"apparmor ca-certificates docker-cli docker.io",
		},
		"engine is there": {
			func(t *testing.T) *debian {
				d := newDebian(t, true)
				d.services[dockerService] = true
				return d
			}, nil, "keep: the engine answers", "keep: the engine answers", nil, "",
		},
		"docker-ce is stopped": {
			func(t *testing.T) *debian {
				d := newDebian(t, true).withServices("systemctl")
				put(d.Machine, "/usr/bin/dockerd", "")
				return d
			}, nil, "update: not running: docker", "keep: the engine answers", []string{"systemctl enable --now docker"}, "",
		},
		"firewall": {
			func(t *testing.T) *debian {
				d := newDebian(t, true, "ufw", "fail2ban").withApt().withServices("systemctl")
				d.services[dockerService] = true
				return d
			}, firewall,
			"create: not installed: ufw, fail2ban", "keep: the engine answers",
			[]string{"update", install + "ufw fail2ban", "systemctl enable --now fail2ban"}, "fail2ban ufw",
		},
		"engine elsewhere": {
			func(t *testing.T) *debian { return newDebian(t, true) }, func(in *PackagesInput) { in.EngineHost = "unix:///run/other.sock" },
			"keep: the engine is at unix:///run/other.sock", "keep: the engine is at unix:///run/other.sock", nil, "",
		},
		"waits for the lock": {
			func(t *testing.T) *debian {
				d := newDebian(t, true, "docker.io", "ca-certificates").withApt().withCache().withServices("systemctl")
				d.locked = 1
				return d
			}, nil,
			"create: not installed: docker.io, ca-certificates", "keep: the engine answers",
			[]string{"update", install + "docker.io ca-certificates", "systemctl enable --now docker"}, "ca-certificates docker.io",
		},
		"one archive is away": {
			func(t *testing.T) *debian {
				d := newDebian(t, true, "docker.io", "ca-certificates").withApt().withCache().withServices("systemctl")
				d.fails["update"], d.updated = "E: Failed to fetch https://third.example/dists/x/InRelease  Could not resolve 'third.example'\n", true
				return d
			}, nil,
			"create: not installed: docker.io, ca-certificates", "keep: the engine answers",
			[]string{"update", install + "docker.io ca-certificates", "systemctl enable --now docker"}, "ca-certificates docker.io",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.host(t)
			s := d.step(c.input)
			first, second := converge(t, d, s), converge(t, d, s)
			if first != c.want || second != c.keep {
				t.Errorf("plans %q, then %q; want %q, then %q", first, second, c.want, c.keep)
			}
			if !slices.Equal(d.runs, c.runs) {
				t.Errorf("ran\n%s\nwant\n%s", strings.Join(d.runs, "\n"), strings.Join(c.runs, "\n"))
			}
			noted, err := InstalledPackages(d, Paths{"/srv/regctl"}.Packages())
			if got := strings.Join(noted, " "); got != c.noted || err != nil {
				t.Errorf("noted %q, %v; want %q", got, err, c.noted)
			}
		})
	}
}

func TestPackagesWaitWithoutApt(t *testing.T) {
	t.Parallel()
	m := hosttest.New(t)
	s := NewPackages(PackagesInput{Ping: func(context.Context) error { return errors.New("none") }, Extra: []string{"ufw"}, Record: "/r"})
	change, err := s.Check(t.Context(), m.Looker())
	want := "wait: there is no apt on this host: install by hand what is in its package of docker.io, ca-certificates, ufw"
	if err != nil || change.String() != want {
		t.Errorf("%v, %v; want %s", change, err, want)
	}
}

func TestPackageErrors(t *testing.T) {
	t.Parallel()
	const offline = "E: Failed to fetch http://deb.debian.org/debian/pool/main/d/docker.io/docker.io_1_amd64.deb  Temporary failure resolving 'deb.debian.org'\n"
	for name, c := range map[string]struct{ update, install, text, hint string }{
		"offline": {"", offline, "installing docker.io, ca-certificates: nothing came from http://deb.debian.org: running ", "check the network, /etc/apt/sources.list and http_proxy"},
		"never had lists": {
			strings.ReplaceAll(offline, "E:", "W:"), "E: Unable to locate package docker.io\n",
			"nothing came from http://deb.debian.org: ", "check the network, /etc/apt/sources.list and http_proxy",
		},
		"no universe": {"", "E: Package 'docker.io' has no installation candidate\n", "no installation candidate", "have apt use the archives that hold them: on Ubuntu, add-apt-repository universe"},
		"interrupted": {"", "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n", "dpkg was interrupted", "repair it: dpkg --configure -a"},
		"conflict": {
			"", "The following packages have unmet dependencies:\n containerd.io : Conflicts: containerd\nE: Error, pkgProblemResolver::Resolve generated breaks\n",
			"containerd.io : Conflicts", "packages that are installed exclude them (docker.io and docker-ce do): remove those, or install an engine by hand",
		},
		"full":   {"", "E: You don't have enough free space in /var/cache/apt/archives/.\n", "enough free space", "free space: df -h /var /usr"},
		"others": {"", "E: Sub-process /usr/bin/dpkg returned an error code (1)\n", "returned an error code (1)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDebian(t, true).withApt().withCache()
			if c.update != "" {
				d.fails["update"] = c.update
			}
			d.fails["install"] = c.install
			err := d.step(nil).Apply(t.Context(), d)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v; want %q in it", err, c.text)
			}
			hint := ""
			if known, ok := errors.AsType[*PackageError](err); ok {
				hint = known.Hint()
			}
			if hint != c.hint {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
			// What was about to be installed is known although it failed.
			if noted, err := InstalledPackages(d, Paths{"/srv/regctl"}.Packages()); !slices.Equal(noted, []string{"ca-certificates", "docker.io"}) {
				t.Errorf("noted %q, %v", noted, err)
			}
		})
	}
}

func TestServiceThatDoesNotStart(t *testing.T) {
	t.Parallel()
	d := newDebian(t, false).withServices("service", "update-rc.d")
	put(d.Machine, "/usr/sbin/dockerd", "")
	d.services["broken docker"] = true
	err := d.step(nil).Apply(t.Context(), d)
	known, ok := errors.AsType[*PackageError](err)
	if !ok || !strings.Contains(err.Error(), "starting docker: ") || !strings.Contains(err.Error(), "docker failed") || known.Hint() != "see why: tail /var/log/docker.log" {
		t.Errorf("%v", err)
	}
}

func TestLockedBy(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\n":                      "unattended-upgr",
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812\n":                                        "process 812",
		"E: Could not get lock /var/lib/apt/lists/lock - open (11: Resource temporarily unavailable)\n":                         "another process",
		"dpkg: error: dpkg frontend lock was locked by another process with pid 812\nNote: removing the lock file is wrong ...": "another process",
		"E: Unable to locate package x\n": "",
	} {
		holder, locked := lockedBy(fmt.Errorf("doing: %w", host.NewCmdError(host.Command("x"), 100, output, errors.New("exit status 100"))))
		if holder != want || locked != (want != "") {
			t.Errorf("%q: %q, %t", output, holder, locked)
		}
	}
	if _, locked := lockedBy(errors.New("Could not get lock x")); locked {
		t.Error("an error that is not apt's")
	}
}
