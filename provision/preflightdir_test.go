package provision

import (
	"strings"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
)

func dirFindings() map[string]finding {
	at := func(dir string) func(*hosttest.Machine, *PreflightInput) {
		return func(_ *hosttest.Machine, in *PreflightInput) { in.Dir = dir }
	}
	on := func(s host.Space) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, _ *PreflightInput) { m.MkdirAll("/srv"); m.Mount("/srv", s) }
	}
	roomy := func(change func(*host.Space)) func(*hosttest.Machine, *PreflightInput) {
		s := host.Space{Bytes: 64 << 30, Free: 32 << 30, Inodes: 1000, FreeInodes: 500}
		change(&s)
		return on(s)
	}
	holds := func(files ...string) func(*hosttest.Machine, *PreflightInput) {
		return func(m *hosttest.Machine, _ *PreflightInput) {
			for _, f := range files {
				put(m, "/srv/regctl/"+f, "version: 1\nhost: registry.example.com\ntls: {mode: local}\n")
			}
		}
	}
	const other = " → choose another --dir"
	const odd = ": only letters, digits and / . _ - + @ are possible in the path" + other
	longest := "/" + strings.Repeat("x", 79)
	return map[string]finding{
		"relative":   {"dir", at("registry"), `error: path "registry": must be absolute, without . or .. in it` + other},
		"root":       {"dir", at("/"), "error: / belongs to the whole host" + other},
		"blank":      {"dir", at("/srv/my registry"), `error: "/srv/my registry"` + odd},
		"dollar":     {"dir", at("/srv/$x"), `error: "/srv/$x"` + odd},
		"percent":    {"dir", at("/srv/a%i"), `error: "/srv/a%i"` + odd},
		"colon":      {"dir", at("/srv/a:b"), `error: "/srv/a:b"` + odd},
		"umlaut":     {"dir", at("/srv/größe"), "ok: /srv/größe"},
		"as long":    {"dir", at(longest), "ok: " + longest},
		"too long":   {"dir", at(longest + "x"), "error: " + longest + "x: the path may have 80 bytes, so that sockets below it fit into 107; it has 81" + other},
		"under file": {"dir", func(m *hosttest.Machine, _ *PreflightInput) { put(m, "/srv", "") }, "error: /srv is not a directory (-rw-r--r--)" + other},
		"read-only":  {"dir", roomy(func(s *host.Space) { s.ReadOnly = true }), "error: /srv is mounted read-only → mount -o remount,rw /srv"},
		"noexec":     {"dir", roomy(func(s *host.Space) { s.NoExec = true }), "error: /srv is mounted noexec: /srv/regctl/bin/regctl has to be executed → mount -o remount,exec /srv"},
		"fat":        {"dir", roomy(func(s *host.Space) { s.Type = host.FAT }), "error: the file system at /srv has neither owners of files nor unix sockets" + other},
		"nfs":        {"dir", roomy(func(s *host.Space) { s.Type = host.NFS }), "warning: /srv is on NFS: files are given to other users there only if the server lets root do that → export it with no_root_squash"},
		"tmpfs":      {"dir", roomy(func(s *host.Space) { s.Type = host.Tmpfs }), "warning: /srv is in memory: a restart of the host deletes everything" + other},

		"full":      {"disk", roomy(func(s *host.Space) { s.Free = 1<<30 - 1 }), "error: 1023 MiB free at /srv; at least 1024 are needed → df -h /srv"},
		"nearly":    {"disk", roomy(func(s *host.Space) { s.Free = 3 << 30 }), "error: 3.0 GiB free at /srv, less than 5 % → df -h /srv"},
		"inodes":    {"disk", roomy(func(s *host.Space) { s.FreeInodes = 49 }), "error: 49 inodes free at /srv, less than 5 % → df -i /srv"},
		"no inodes": {"disk", roomy(func(s *host.Space) { s.Inodes, s.FreeInodes = 0, 0 }), "ok: 32.0 GiB free at /srv"},

		"installed":    {"existing", holds("regctl.yaml", "journal.json", "notes"), "ok: the installation of registry.example.com"},
		"interrupted":  {"existing", holds("certs/live/x", "run/registry/x", "data/x", ".regctl.yaml.regctl-123"), "ok: /srv/regctl is there, without settings: an earlier run has not come far"},
		"other things": {"existing", holds(".bashrc", "a", "b", "c", "data/x"), "error: /srv/regctl holds other things: .bashrc, a, b and 1 more → an empty directory as --dir"},
		"other version": {"existing", func(m *hosttest.Machine, _ *PreflightInput) {
			put(m, "/srv/regctl/regctl.yaml", "version: 2\n")
		}, "error: /srv/regctl/regctl.yaml: version: is 2; this regctl knows version 1 → correct it, use the regctl that made it, or another --dir"},
		"served": {"existing", holds("auth/auth.db", "data/registry/x", "run/serve.json"), "warning: regctl serve was used in /srv/regctl: its images are taken over, its accounts are not → another --dir, or add the accounts again"},
		"serving": {"existing", func(m *hosttest.Machine, in *PreflightInput) {
			holds("data/registry/x", "run/serve.json", "run/serve.lock")(m, in)
			running(m, 4711, "regctl", "/user.slice", "/srv/regctl/run/serve.lock")
		}, "error: regctl serve runs in /srv/regctl (regctl (pid 4711)) → kill 4711, or another --dir"},
		"article": {"existing", func(m *hosttest.Machine, _ *PreflightInput) {
			put(m, "/root/auth_server/config/auth_config.yml", "")
		}, "warning: /root/auth_server/config/auth_config.yml is from a registry set up by hand with docker_auth: it stays untouched, and must not run beside this one → docker compose down in its directory, once its users are moved"},
	}
}
