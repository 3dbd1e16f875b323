package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"regctl/provision/host"
)

// checkRoot reads /proc/self/status, the second number of whose Uid line is the
// effective user: proc_pid_status(5).
func checkRoot(_ context.Context, l host.Looker) []Finding {
	status, err := readText(l, "/proc/self/status")
	if err != nil {
		return unknown(err)
	}
	ids := strings.Fields(valueOf(status, "Uid", ":"))
	switch {
	case len(ids) < 2:
		return unknown(errors.New("no user in /proc/self/status"))
	case ids[1] != "0":
		return fail("sudo regctl …", "user %s is not root", ids[1])
	}
	return okay("root")
}

// oldest are the versions that regctl's packages and templates are made for.
func oldest() map[string]string { return map[string]string{"debian": "11", "ubuntu": "22.04"} }

// checkOS reads os-release(5).
func checkOS(_ context.Context, l host.Looker) []Finding {
	text, err := readText(l, "/etc/os-release")
	if err != nil {
		return unknown(err)
	}
	get := func(key string) string { return strings.Trim(valueOf(text, key, "="), `"'`) }
	id, version, name := get("ID"), get("VERSION_ID"), get("PRETTY_NAME")
	least, known := oldest()[id]
	switch {
	case !known && slices.Contains(strings.Fields(get("ID_LIKE")), "debian"):
		return warn("", "%s is like Debian, and regctl is not tested on it", name)
	case !known:
		return warn("install Docker by hand if it is not there", "%s is neither Debian nor Ubuntu: packages are not installed here", name)
	case version == "": // Debian testing has none
		return warn("", "%s has no version yet, and regctl is not tested on it", name)
	case older(version, least):
		return warn("", "%s is older than %s, the first that regctl is made for", name, least)
	}
	return okay("%s", name)
}

// older compares versions that are numbers with dots between them.
func older(a, b string) bool {
	numbers := func(version string) (out []int) {
		for part := range strings.SplitSeq(version, ".") {
			n, _ := strconv.Atoi(part)
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(numbers(a), numbers(b)) < 0
}

// hasSystemd is how sd_booted(3) decides.
func hasSystemd(l host.Looker) (bool, error) { return host.Exists(l, "/run/systemd/system") }

func checkSystemd(_ context.Context, l host.Looker) []Finding {
	switch found, err := hasSystemd(l); {
	case err != nil:
		return unknown(err)
	case !found:
		return okay("not running: services are started by their scripts, renewals by cron")
	}
	return okay("running")
}

// checkClock: tokens and certificates have dates, and ACME servers refuse what
// is off.
func checkClock(ctx context.Context, l host.Looker) []Finding {
	systemd, err := hasSystemd(l)
	if err != nil {
		return unknown(err)
	}
	for _, source := range []struct {
		program string
		there   bool
		argv    []string
		synced  string
		fix     string
	}{
		{"/usr/bin/chronyc", true, []string{"chronyc", "-n", "tracking"}, "Leap status     : Normal", "chronyc makestep"},
		{"/usr/bin/timedatectl", systemd, []string{"timedatectl", "show", "--property", "NTPSynchronized"}, "NTPSynchronized=yes", "timedatectl set-ntp true"},
	} {
		found, err := host.Exists(l, source.program)
		if err != nil {
			return unknown(err)
		}
		if !found || !source.there {
			continue
		}
		out, err := l.Look(ctx, host.Command(source.argv...))
		if err != nil {
			continue // chronyc without its daemon, for one
		}
		if strings.Contains(out, source.synced) {
			return okay("in sync, says %s", source.argv[0])
		}
		return warn(source.fix, "not in sync, says %s", source.argv[0])
	}
	return warn("compare it yourself: date -u", "neither chrony nor systemd tells here whether the clock is in sync")
}

// What hosts need, in MiB. The kernel keeps a part of the memory for itself:
// a machine sold with 512 MiB says 460 or so, which kernelPart accounts for.
const (
	tightMemory, leastMemory, mongoMemory = 512, 256, 1024
	kernelPart                            = 8 // one part in so many
)

func (in PreflightInput) checkMemory(_ context.Context, l host.Looker) []Finding {
	text, err := readText(l, "/proc/meminfo")
	if err != nil {
		return unknown(err)
	}
	kib, err := strconv.Atoi(strings.TrimSuffix(valueOf(text, "MemTotal", ":"), " kB"))
	if err != nil {
		return unknown(fmt.Errorf("MemTotal in /proc/meminfo: %w", err))
	}
	mib := kib / 1024
	below := func(limit int) bool { return mib < limit-limit/kernelPart }
	switch {
	case in.Mongo && below(mongoMemory):
		return fail("--store sqlite", "%d MiB; MongoDB needs %d", mib, mongoMemory)
	case below(leastMemory):
		return fail("give the machine more", "%d MiB; at least %d are needed", mib, leastMemory)
	case below(tightMemory):
		return warn("give the machine more, or add swap", "%d MiB: less than %d are tight", mib, tightMemory)
	}
	return okay("%d MiB", mib)
}

// checkAVX: MongoDB 5 and newer end with "Illegal instruction" on an x86
// without AVX, and on an ARM before v8.2-A (docker-library/mongo#485).
func (in PreflightInput) checkAVX(_ context.Context, l host.Looker) []Finding {
	if !in.Mongo {
		return okay("not needed without MongoDB")
	}
	text, err := readText(l, "/proc/cpuinfo")
	if err != nil {
		return unknown(err)
	}
	const fix = "--store sqlite, or images.mongo: mongo:4.4 in regctl.yaml"
	x86, arm := strings.Fields(valueOf(text, "flags", ":")), strings.Fields(valueOf(text, "Features", ":"))
	switch {
	case slices.Contains(x86, "avx"), slices.Contains(arm, "atomics"):
		return okay("this processor can run MongoDB")
	case len(x86) > 0:
		return fail(fix, "this processor, or the virtual machine's model of it, has no AVX, which MongoDB 5 and newer need")
	case len(arm) > 0:
		return fail(fix, "this processor is older than ARMv8.2-A, which MongoDB 5 and newer need")
	}
	return unknown(errors.New("/proc/cpuinfo has no flags"))
}

// checkMAC looks for mandatory access control that would be in the way.
func (in PreflightInput) checkMAC(_ context.Context, l host.Looker) []Finding {
	enforcing, err := readText(l, "/sys/fs/selinux/enforce")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unknown(err)
	}
	if strings.TrimSpace(enforcing) == "1" {
		return warn("chcon -Rt container_file_t "+in.Dir, "SELinux is enforcing: containers cannot read %s until it is labelled for them", in.Dir)
	}
	switch missing, err := lacksParser(l); {
	case err != nil:
		return unknown(err)
	case missing:
		return okay("AppArmor is on and its parser is missing: the packages step installs it")
	}
	return okay("neither SELinux nor AppArmor is in the way")
}

// lacksParser reports whether AppArmor is on without the program that loads
// profiles: then an engine that looks well cannot start a single container.
func lacksParser(l host.Looker) (bool, error) {
	text, err := readText(l, "/sys/module/apparmor/parameters/enabled")
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(text) != "Y" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, parser := range []string{"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"} {
		if found, err := host.Exists(l, parser); found || err != nil {
			return false, err
		}
	}
	return true, nil
}

func readText(l host.Looker, path string) (string, error) {
	f, err := l.ReadFile(path)
	return string(f.Content), err
}

// valueOf is what follows "key", blanks and the separator on the first line
// that begins so; "" if there is none.
func valueOf(text, key, separator string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
