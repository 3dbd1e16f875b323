package provision

import (
	"regctl/provision/host"
	"regctl/provision/host/hosttest"
)

// has makes a change that writes one file.
func has(path, text string) func(*hosttest.Machine, *PreflightInput) {
	return func(m *hosttest.Machine, _ *PreflightInput) { put(m, path, text) }
}

// lacks makes a change that removes one file.
func lacks(path string) func(*hosttest.Machine, *PreflightInput) {
	return func(m *hosttest.Machine, _ *PreflightInput) { m.RemoveAll(path) }
}

// says makes a change that installs a program which tells of the clock.
func says(program, text string, exit int) func(*hosttest.Machine, *PreflightInput) {
	return func(m *hosttest.Machine, _ *PreflightInput) {
		put(m, "/usr/bin/"+program, "")
		m.Install(program, hosttest.Program{Look: func(c host.Cmd) (hosttest.Reply, bool) {
			line := c.String()
			return hosttest.Reply{Stdout: text, Exit: exit},
				line == "chronyc -n tracking" || line == "timedatectl show --property NTPSynchronized"
		}})
	}
}

func hostFindings() map[string]finding {
	noMongo := func(f func(*hosttest.Machine, *PreflightInput)) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, in *PreflightInput) { in.Mongo = false; f(m, in) }
	}
	both := func(a, b func(*hosttest.Machine, *PreflightInput)) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, in *PreflightInput) { a(m, in); b(m, in) }
	}
	const avxFix = " → --store sqlite, or images.mongo: mongo:4.4 in regctl.yaml"
	return map[string]finding{
		"user":    {"root", has("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n"), "error: user 1000 is not root → sudo regctl …"},
		"setuid":  {"root", has("/proc/self/status", "Uid:\t1000\t0\t0\t0\n"), "ok: root"},
		"no proc": {"root", lacks("/proc/self/status"), "warning: cannot tell: open /proc/self/status: file does not exist"},

		"debian":     {"os", has("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"), "ok: Debian GNU/Linux 12 (bookworm)"},
		"old debian": {"os", has("/etc/os-release", "PRETTY_NAME=\"Debian 9\"\nID=debian\nVERSION_ID=\"9\"\n"), "warning: Debian 9 is older than 11, the first that regctl is made for"},
		"old ubuntu": {"os", has("/etc/os-release", "PRETTY_NAME=\"Ubuntu 20.04 LTS\"\nID=ubuntu\nVERSION_ID=\"20.04\"\n"), "warning: Ubuntu 20.04 LTS is older than 22.04, the first that regctl is made for"},
		"testing":    {"os", has("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n"), "warning: Debian GNU/Linux forky/sid has no version yet, and regctl is not tested on it"},
		"mint":       {"os", has("/etc/os-release", "PRETTY_NAME='Linux Mint 22'\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=22\n"), "warning: Linux Mint 22 is like Debian, and regctl is not tested on it"},
		"fedora":     {"os", has("/etc/os-release", "PRETTY_NAME=\"Fedora Linux 42\"\nID=fedora\nVERSION_ID=42\n"), "warning: Fedora Linux 42 is neither Debian nor Ubuntu: packages are not installed here → install Docker by hand if it is not there"},

		"no systemd": {"systemd", lacks("/run/systemd/system"), "ok: not running: services are started by their scripts, renewals by cron"},

		"unsynced":         {"clock", says("timedatectl", "NTPSynchronized=no\n", 0), "warning: not in sync, says timedatectl → timedatectl set-ntp true"},
		"chrony":           {"clock", says("chronyc", "Stratum         : 3\nLeap status     : Not synchronised\n", 0), "warning: not in sync, says chronyc → chronyc makestep"},
		"chrony synced":    {"clock", both(lacks("/run/systemd/system"), says("chronyc", "Leap status     : Normal\n", 0)), "ok: in sync, says chronyc"},
		"chrony down":      {"clock", both(says("timedatectl", "NTPSynchronized=yes\n", 0), says("chronyc", "506 Cannot talk to daemon\n", 1)), "ok: in sync, says timedatectl"},
		"nobody tells":     {"clock", lacks("/usr/bin/timedatectl"), "warning: neither chrony nor systemd tells here whether the clock is in sync → compare it yourself: date -u"},
		"timedatectl mute": {"clock", lacks("/run/systemd/system"), "warning: neither chrony nor systemd tells here whether the clock is in sync → compare it yourself: date -u"},

		"memory for mongo":      {"memory", has("/proc/meminfo", "MemTotal:        700000 kB\n"), "error: 683 MiB; MongoDB needs 1024 → --store sqlite"},
		"a machine of 1 GiB":    {"memory", has("/proc/meminfo", "MemTotal:        985000 kB\n"), "ok: 961 MiB"},
		"memory without mongo":  {"memory", noMongo(has("/proc/meminfo", "MemTotal:        700000 kB\n")), "ok: 683 MiB"},
		"tight memory":          {"memory", noMongo(has("/proc/meminfo", "MemTotal:        400000 kB\n")), "warning: 390 MiB: less than 512 are tight → give the machine more, or add swap"},
		"little memory":         {"memory", noMongo(has("/proc/meminfo", "MemTotal:        200000 kB\n")), "error: 195 MiB; at least 256 are needed → give the machine more"},
		"memory that is no sum": {"memory", has("/proc/meminfo", "MemTotal: many kB\n"), `warning: cannot tell: MemTotal in /proc/meminfo: strconv.Atoi: parsing "many": invalid syntax`},

		"no avx":        {"avx", has("/proc/cpuinfo", "flags\t\t: fpu sse2\n"), "error: this processor, or the virtual machine's model of it, has no AVX, which MongoDB 5 and newer need" + avxFix},
		"avx2 alone":    {"avx", has("/proc/cpuinfo", "flags\t\t: avx2\n"), "error: this processor, or the virtual machine's model of it, has no AVX, which MongoDB 5 and newer need" + avxFix},
		"arm":           {"avx", has("/proc/cpuinfo", "Features\t: fp asimd atomics\n"), "ok: this processor can run MongoDB"},
		"old arm":       {"avx", has("/proc/cpuinfo", "Features\t: fp asimd crc32\n"), "error: this processor is older than ARMv8.2-A, which MongoDB 5 and newer need" + avxFix},
		"sqlite":        {"avx", noMongo(has("/proc/cpuinfo", "flags\t\t: fpu sse2\n")), "ok: not needed without MongoDB"},
		"no such flags": {"avx", has("/proc/cpuinfo", "isa\t: rv64imafdc\n"), "warning: cannot tell: /proc/cpuinfo has no flags"},

		"selinux":         {"mac", has("/sys/fs/selinux/enforce", "1"), "warning: SELinux is enforcing: containers cannot read /srv/regctl until it is labelled for them → chcon -Rt container_file_t /srv/regctl"},
		"selinux watches": {"mac", has("/sys/fs/selinux/enforce", "0"), "ok: neither SELinux nor AppArmor is in the way"},
		"apparmor off":    {"mac", has("/sys/module/apparmor/parameters/enabled", "N\n"), "ok: neither SELinux nor AppArmor is in the way"},
		"apparmor":        {"mac", both(has("/sys/module/apparmor/parameters/enabled", "Y\n"), has("/usr/sbin/apparmor_parser", "")), "ok: neither SELinux nor AppArmor is in the way"},
		"no parser":       {"mac", has("/sys/module/apparmor/parameters/enabled", "Y\n"), "ok: AppArmor is on and its parser is missing: the packages step installs it"},
		"apt at work": {"apt-lock", func(m *hosttest.Machine, _ *PreflightInput) {
			running(m, 812, "unattended-upgr", "/", "/var/lib/dpkg/lock-frontend")
		}, "warning: unattended-upgr (pid 812) is at work: the packages step waits for it"},
		"lists are locked": {"apt-lock", func(m *hosttest.Machine, _ *PreflightInput) { running(m, 9, "apt-get", "/", "/var/lib/apt/lists/lock") }, "warning: apt-get (pid 9) is at work: the packages step waits for it"},
	}
}
