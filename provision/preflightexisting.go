package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"regctl/provision/host"
)

// checkExisting looks for what was set up here before.
func (in PreflightInput) checkExisting(_ context.Context, l host.Looker) []Finding {
	found := in.inDir(l)
	if by := articleSetup(l); by != "" {
		found = append(found, warn("docker compose down in its directory, once its users are moved",
			"%s is from a registry set up by hand with docker_auth: it stays untouched, and must not run beside this one", by)...)
	}
	if len(found) == 0 {
		return okay("nothing in %s", in.Dir)
	}
	return found
}

// inDir says what is in the installation's directory; nothing if there is
// nothing.
func (in PreflightInput) inDir(l host.Looker) []Finding {
	p := Paths{in.Dir}
	names, err := l.ReadDir(in.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unknown(err)
	}
	serving, err := whoHas(l, func(file string) bool { return file == p.in("run", "serve.lock") })
	switch {
	case err != nil:
		return unknown(err)
	case len(serving) > 0:
		return fail(fmt.Sprintf("kill %d, or another --dir", serving[0].pid), "regctl serve runs in %s (%v)", in.Dir, serving[0])
	case slices.Contains(names, filepath.Base(p.Config())):
		return in.installed(l)
	case slices.Contains(names, "data") && slices.Contains(names, "run"):
		if served, err := host.Exists(l, p.in("run", "serve.json")); err != nil {
			return unknown(err)
		} else if served {
			return warn("another --dir, or add the accounts again", "regctl serve was used in %s: its images are taken over, its accounts are not", in.Dir)
		}
	}
	if strange := slices.DeleteFunc(slices.Clone(names), p.own); len(strange) > 0 {
		return fail("an empty directory as --dir", "%s holds other things: %s", in.Dir, few(strange))
	}
	if len(names) > 0 {
		return okay("%s is there, without settings: an earlier run has not come far", in.Dir)
	}
	return nil
}

// installed judges the regctl.yaml that is there.
func (in PreflightInput) installed(l host.Looker) []Finding {
	path := Paths{in.Dir}.Config()
	text, err := readText(l, path)
	if err != nil {
		return unknown(err)
	}
	c, err := ParseConfig([]byte(text))
	if err != nil {
		return fail("correct it, use the regctl that made it, or another --dir", "%s: %v", path, err)
	}
	return okay("the installation of %s", strings.Join(c.Hosts(), " and "))
}

// own reports whether an installation has something of this name.
func (p Paths) own(name string) bool {
	// What a killed run leaves, and what a file system of its own begins with.
	if strings.HasPrefix(name, ".") && strings.Contains(name, ".regctl-") || name == "lost+found" {
		return true
	}
	for _, path := range []string{
		p.Config(), p.Compose(), p.ImagesLock(), p.Journal(), p.AdminPassword(), p.Templates(), p.Nginx(), p.Registry(), p.Auth(),
		p.Certs(), p.in("acme"), p.Run(), p.in("data"), p.in("bin"), p.in("mongo"), p.in("backups"), p.in("verified.json"), p.in(".lock"), p.Packages(),
	} {
		if filepath.Base(path) == name {
			return true
		}
	}
	return false
}

// articleSetup is a file of a docker_auth installation as the article that
// regctl automates puts it on a host; "" if there is none.
func articleSetup(l host.Looker) string {
	for _, path := range []string{"/root/auth_server/config/auth_config.yml", "/root/docker_registry/data", "/root/auth_db"} {
		if found, err := host.Exists(l, path); found && err == nil {
			return path
		}
	}
	return ""
}

// few lists names, not all of them if there are many.
func few(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
