package provision

import (
	"context"
	"slices"

	"regctl/provision/host"
)

const aptGet = "/usr/bin/apt-get"

// aptLocks are the files that apt and dpkg lock while they work.
func aptLocks() []string {
	return []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"}
}

// checkAptLock names who has a lock of apt's open. That is a warning, not an
// error: the packages step waits, if it needs apt at all.
func checkAptLock(_ context.Context, l host.Looker) []Finding {
	busy, err := whoHas(l, func(file string) bool { return slices.Contains(aptLocks(), file) })
	switch {
	case err != nil:
		return unknown(err)
	case len(busy) > 0:
		return warn("", "%v is at work: the packages step waits for it", busy[0])
	}
	return okay("apt is not at work")
}
