package provision

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

const (
	// aptLimit is how long apt may be in someone else's hands: the first upgrade
	// of a new host by unattended-upgrades takes its time, and must not be killed.
	aptLimit = 15 * time.Minute
	aptAgain = time.Second
)

// PackageError is an error about packages that knows what to do.
type PackageError struct {
	Err  error
	hint string
}

func (e *PackageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PackageError) Unwrap() error { return e.Err }

// Hint says what to do, as a command where possible.
func (e *PackageError) Hint() string { return e.hint }

// aptCommand runs without questions: the packages' own ones (debconf), about
// changed configuration files (dpkg), about services to restart (needrestart,
// which only lists them: nothing of what runs here was upgraded). A lock is not
// waited for by apt, which would do so in silence, and never does for the lists.
func aptCommand(args ...string) host.Cmd {
	argv := []string{
		aptGet, "--quiet", "--yes",
		"--option", "DPkg::Lock::Timeout=0",
		"--option", "Dpkg::Options::=--force-confdef",
		"--option", "Dpkg::Options::=--force-confold",
	}
	return host.Cmd{Argv: append(argv, args...), Env: map[string]string{
		"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none",
	}}
}

// refresh has apt ask the archives what they have, and returns those that did
// not answer.
func refresh(ctx context.Context, m host.Machine) (unreachable []string, err error) {
	step.Report(ctx, step.Progress{Text: "asking the archives for their packages"})
	out, err := apt(ctx, m, aptCommand("update"))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if _, ok := errors.AsType[*host.CmdError](err); err != nil && !ok {
		return nil, err
	}
	return archives(out, err), nil
}

// installNow removes nothing for the packages, and does not upgrade those of
// them that are there.
func installNow(ctx context.Context, m host.Machine, names, unreachable []string) error {
	list := strings.Join(names, ", ")
	step.Report(ctx, step.Progress{Text: "installing " + list})
	command := aptCommand(append([]string{"install", "--no-install-recommends", "--no-upgrade", "--no-remove", "--"}, names...)...)
	_, err := apt(ctx, m, command)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("installing %s: %w", list, diagnose(err, unreachable))
	}
	return nil
}

// apt runs a command of apt's, again and again while another one is at work.
func apt(ctx context.Context, m host.Machine, c host.Cmd) (string, error) {
	began := time.Now()
	for {
		out, err := m.Run(ctx, c)
		holder, locked := lockedBy(err)
		if !locked {
			return out, err
		}
		waited := time.Since(began)
		if waited > aptLimit {
			return "", &PackageError{fmt.Errorf("apt is held by %s for more than %s", holder, aptLimit), "look at what it does: ps aux"}
		}
		step.Report(ctx, step.Progress{Text: fmt.Sprintf("waiting for apt (held by %s, %d s)", holder, int(waited.Seconds()))})
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(aptAgain):
		}
	}
}

// What apt-pkg/contrib/fileutl.cc and dpkg's lib/dpkg/dbmodify.c say of a lock.
var (
	aptHeld  = regexp.MustCompile(`Could not get lock \S+ It is held by process (\d+)(?: \(([^)]+)\))?`)
	aptTaken = regexp.MustCompile(`Could not get lock |dpkg: error: dpkg .*lock was locked by another process`)
)

// lockedBy reports whether a command failed because another process has one of
// apt's locks, and which.
func lockedBy(err error) (holder string, locked bool) {
	failed, ok := errors.AsType[*host.CmdError](err)
	switch {
	case !ok || !aptTaken.MatchString(failed.Output):
		return "", false
	case !aptHeld.MatchString(failed.Output):
		return "another process", true
	}
	m := aptHeld.FindStringSubmatch(failed.Output)
	if m[2] == "" {
		return "process " + m[1], true
	}
	return m[2], true
}

// failedFetch is how apt tells of an archive: "Err:1 URL suite InRelease" on the
// way, "E: Failed to fetch URL  reason" or with W: at the end.
var failedFetch = regexp.MustCompile(`(?m)^(?:Err:\d+ |[EW]: Failed to fetch )([a-z+]+://[^/\s]+)`)

// archives are those that did not answer apt-get update. It calls that a
// success when it has older lists.
func archives(out string, err error) []string {
	if failed, ok := errors.AsType[*host.CmdError](err); ok {
		out = failed.Output
	}
	var hosts []string
	for _, m := range failedFetch.FindAllStringSubmatch(out, -1) {
		hosts = append(hosts, m[1])
	}
	return slices.Compact(slices.Sorted(slices.Values(hosts)))
}

// diagnose adds to an error of apt-get install what to do about it.
func diagnose(err error, unreachable []string) error {
	failed, ok := errors.AsType[*host.CmdError](err)
	if !ok {
		return err
	}
	says := func(text string) bool { return strings.Contains(failed.Output, text) }
	fetched := archives("", failed)
	switch {
	case says("dpkg was interrupted"):
		return &PackageError{err, "repair it: dpkg --configure -a"}
	case len(fetched) > 0:
		return &PackageError{fmt.Errorf("nothing came from %s: %w", strings.Join(fetched, ", "), err), "check the network, /etc/apt/sources.list and http_proxy"}
	case says("Unable to locate package"), says("no installation candidate"):
		if len(unreachable) > 0 {
			return &PackageError{fmt.Errorf("nothing came from %s: %w", strings.Join(unreachable, ", "), err), "check the network, /etc/apt/sources.list and http_proxy"}
		}
		return &PackageError{err, "have apt use the archives that hold them: on Ubuntu, add-apt-repository universe"}
	case says("Packages need to be removed"), says("unmet dependencies"):
		return &PackageError{err, "packages that are installed exclude them (docker.io and docker-ce do): remove those, or install an engine by hand"}
	case says("enough free space"), says("No space left on device"):
		return &PackageError{err, "free space: df -h /var /usr"}
	}
	return err
}
