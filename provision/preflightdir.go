package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"

	"regctl/provision/host"
)

// maxSocket is how long the path of a unix socket may be, in bytes: unix(7),
// without the zero at its end.
const maxSocket = 107

// checkDir asks whether the directory can be one of an installation, whether it
// exists or not.
func (in PreflightInput) checkDir(_ context.Context, l host.Looker) []Finding {
	if err := host.ValidPath(in.Dir); err != nil {
		return fail(otherDir, "%v", err)
	}
	longest := Paths{in.Dir}.RegistrySocket()
	odd := strings.IndexFunc(in.Dir, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@", r)
	})
	switch {
	case in.Dir == "/":
		return fail(otherDir, "/ belongs to the whole host")
	case odd >= 0:
		// They mean something in nginx.conf, compose.yaml or a systemd unit.
		return fail(otherDir, "%q: only letters, digits and / . _ - + @ are possible in the path", in.Dir)
	case len(longest) > maxSocket:
		return fail(otherDir, "%s: the path may have %d bytes, so that sockets below it fit into %d; it has %d",
			in.Dir, maxSocket-len(longest)+len(in.Dir), maxSocket, len(in.Dir))
	}
	at, err := nearest(l, in.Dir)
	if err != nil {
		return fail(otherDir, "%v", err)
	}
	space, err := l.Statfs(at)
	if err != nil {
		return unknown(err)
	}
	switch {
	case space.ReadOnly:
		return fail("mount -o remount,rw "+at, "%s is mounted read-only", at)
	case space.NoExec:
		return fail("mount -o remount,exec "+at, "%s is mounted noexec: %s has to be executed", at, Paths{in.Dir}.in("bin", "regctl"))
	}
	switch space.Type {
	case host.FAT, host.ExFAT, host.CIFS, host.SMB, host.SMB2:
		return fail(otherDir, "the file system at %s has neither owners of files nor unix sockets", at)
	case host.NFS:
		return warn("export it with no_root_squash", "%s is on NFS: files are given to other users there only if the server lets root do that", at)
	case host.Tmpfs:
		return warn(otherDir, "%s is in memory: a restart of the host deletes everything", at)
	}
	return okay("%s", in.Dir)
}

const otherDir = "choose another --dir"

// nearest is the directory at path, or that above it which exists. A link on
// the way is followed to what it says, as the kernel would.
func nearest(l host.Looker, path string) (string, error) {
	for ; ; path = filepath.Dir(path) {
		info, err := l.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != "/":
			continue
		case err != nil:
			return "", err
		case !info.Mode.IsDir() && info.Mode.Type() != fs.ModeSymlink:
			return "", fmt.Errorf("%s is not a directory (%v)", path, info.Mode)
		}
		return path, nil
	}
}

// leastDisk is what an installation without images needs, in bytes: MongoDB's
// journal, the database and configuration, and a layer on its way.
const leastDisk = 1 << 30

// checkDisk has the bars of status, and one for tiny disks.
func (in PreflightInput) checkDisk(_ context.Context, l host.Looker) []Finding {
	at, err := nearest(l, in.Dir)
	if err != nil {
		return unknown(err)
	}
	s, err := l.Statfs(at)
	if err != nil {
		return unknown(err)
	}
	const gib = 1 << 30
	free := float64(s.Free) / gib
	switch {
	case s.Free < leastDisk:
		return fail("df -h "+at, "%d MiB free at %s; at least %d are needed", s.Free>>20, at, leastDisk>>20)
	case s.Free < s.Bytes/100*lowDisk:
		return fail("df -h "+at, "%.1f GiB free at %s, less than %d %%", free, at, lowDisk)
	case s.FreeInodes < s.Inodes/100*lowInodes:
		return fail("df -i "+at, "%d inodes free at %s, less than %d %%", s.FreeInodes, at, lowInodes)
	}
	return okay("%.1f GiB free at %s", free, at)
}
