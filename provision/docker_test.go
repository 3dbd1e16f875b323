package provision

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regctl/certs"
	"regctl/stack"
)

// docker is the stack as if its parts were containers.
func (s *testStack) docker() Docker {
	return Docker{Target: s.target, Paths: s.paths, UID: os.Getuid(), Services: engineOf(
		stack.ServiceHealth{Service: "nginx", State: "running", Health: "healthy"},
		stack.ServiceHealth{Service: "registry", State: "running", Health: "healthy"},
		stack.ServiceHealth{Service: "auth", State: "running"},
		stack.ServiceHealth{Service: "mongo-ui", State: "running", Published: []string{"127.0.0.1:8081", "[::1]:8081"}},
	)}
}

func engineOf(all ...stack.ServiceHealth) func(context.Context) ([]stack.ServiceHealth, error) {
	return func(context.Context) ([]stack.ServiceHealth, error) { return all, nil }
}

func TestDockerChecks(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]stackOptions{"one host": {}, "two hosts": {authHost: testAuthHost}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, o)
			checks := DockerChecks(s.docker())
			for range 2 {
				for _, r := range RunChecks(t.Context(), checks) {
					t.Log(r)
					if !r.OK || r.Skipped || r.Detail == "" || r.Remedy != "" {
						t.Errorf("%+v", r)
					}
				}
			}
		})
	}
}

// What a check depends on comes before it; else it would not be waited for.
func TestDependencies(t *testing.T) {
	t.Parallel()
	earlier := map[string]bool{}
	for _, c := range DockerChecks(Docker{}) {
		for _, name := range c.DependsOn {
			if !earlier[name] {
				t.Errorf("%s depends on %s, which is not before it", c.Name, name)
			}
		}
		if earlier[c.Name] || c.Remedy == "" || c.Run == nil {
			t.Errorf("check %+v", c)
		}
		earlier[c.Name] = true
	}
}

// ill is what is wrong with a stack, and which checks say so.
type ill struct {
	options stackOptions
	harm    func(s *testStack, d *Docker)
	// failed are check: part of what it says; separated by newlines.
	failed string
	// skipped are the names of those that are not run.
	skipped string
}

func ills(t *testing.T) map[string]ill {
	return map[string]ill{
		"no engine": {
			harm: func(_ *testStack, d *Docker) {
				d.Services = func(context.Context) ([]stack.ServiceHealth, error) { return nil, errors.New("cannot connect") }
			},
			failed:  "engine: cannot connect",
			skipped: "containers ports edge redirect certificate auth server admin socket registry token",
		},
		"no containers": {
			harm: func(_ *testStack, d *Docker) { d.Services = engineOf() }, failed: "containers: there are none",
		},
		"sick containers": {
			harm: func(_ *testStack, d *Docker) {
				d.Services = engineOf(stack.ServiceHealth{Service: "nginx", State: "exited"}, stack.ServiceHealth{Service: "auth", State: "running", Health: "unhealthy"})
				d.Wanted = []string{"auth", "nginx", "registry"}
			},
			failed: "containers: registry is missing, nginx is exited, auth is unhealthy",
		},
		"a published port": {
			harm: func(_ *testStack, d *Docker) {
				d.Services = engineOf(stack.ServiceHealth{Service: "mongo", State: "running", Published: []string{"0.0.0.0:27017", "[::]:27017"}})
			},
			failed: "ports: mongo publishes 0.0.0.0:27017, mongo publishes [::]:27017, around the firewall",
		},
		"no edge": {
			harm:   func(_ *testStack, d *Docker) { d.Target.HTTPSPort = freePort(t) },
			failed: "edge: nothing answers at reg.test:", skipped: "redirect certificate token",
		},
		"no redirect": {
			options: stackOptions{redirect: status(http.StatusNotFound)}, failed: `redirect: answers 404 Not Found to ""`,
		},
		"another CA": {
			harm: func(s *testStack, d *Docker) {
				d.Target.CAFile = must(certs.OpenLocalCA(filepath.Join(s.paths.Dir, "other"), time.Now)).CertFile()
			},
			failed: "certificate: reg.test: tls: failed to verify certificate: x509: certificate signed by unknown authority", skipped: "token",
		},
		"expired": {
			options: stackOptions{clock: func() time.Time { return time.Now().AddDate(0, -2, 0) }},
			failed:  "certificate: has expired", skipped: "token",
		},
		"ends soon": {
			options: stackOptions{clock: func() time.Time { return time.Now().AddDate(0, 0, -27) }},
			failed:  "certificate: reg.test: ends ", skipped: "token",
		},
		"not reloaded": {
			harm: func(s *testStack, _ *Docker) {
				other := must(certs.OpenLocalCA(s.paths.Certs(), time.Now)).TLSConfig(testHost)
				s.store(testHost, must(other.GetCertificate(&tls.ClientHelloInfo{ServerName: testHost})))
			},
			failed: "certificate: is served, and ", skipped: "token",
		},
		"no auth server": {
			harm:   func(s *testStack, _ *Docker) { s.stopAdmin() },
			failed: "auth server: no server answers at ", skipped: "admin socket token",
		},
		"auth server out of reach": {
			options: stackOptions{auth: instead(always, status(http.StatusBadGateway))}, failed: "token: /auth answers 502 Bad Gateway",
		},
		"open admin socket": {
			harm: func(s *testStack, _ *Docker) { must(0, os.Chmod(s.target.AdminSocket, 0o666)) }, failed: "admin socket: mode 0666: others can open it",
		},
		"no registry": {
			harm:   func(s *testStack, _ *Docker) { must(0, os.Remove(s.paths.RegistrySocket())) },
			failed: "registry: nothing answers at ", skipped: "token",
		},
		"another signing key": {
			options: stackOptions{strange: true}, failed: "token: the registry answers 401 Unauthorized to a token",
		},
		"a registry that looks at no rights": {
			options: stackOptions{lax: true}, failed: "token: the registry answers 404 Not Found to a token without rights",
		},
		"another service": {
			harm: func(_ *testStack, d *Docker) { d.Target.Service = "other" }, failed: "token: instead of asking for a token with",
		},
		"another owner": {
			harm: func(_ *testStack, d *Docker) { d.UID++ }, failed: "storage: does not belong to user",
		},
		"full disk": {
			harm: func(s *testStack, d *Docker) {
				s.fill(s.paths.RegistryData())
				must(0, os.WriteFile(filepath.Join(s.paths.RegistryData(), "all"), make([]byte, 12<<10), 0o600))
			},
			failed: "storage: no space left on device\ndisk: data/registry: 0.0 GiB free, less than 5 %",
		},
		"read-only": {
			harm: func(s *testStack, d *Docker) {
				s.fill(s.paths.RegistryData())
				must(0, unix.Mount("", s.paths.RegistryData(), "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=12k"))
			},
			failed: "storage: read-only file system",
		},
		"clock behind": {
			harm: func(s *testStack, _ *Docker) {
				later := must(certs.OpenLocalCA(filepath.Join(s.paths.Dir, "later"), func() time.Time { return time.Now().AddDate(1, 0, 0) })).TLSConfig(testHost)
				s.store(testHost, must(later.GetCertificate(&tls.ClientHelloInfo{ServerName: testHost})))
			},
			failed: "certificate: is served, and \nclock: it is before ", skipped: "token",
		},
	}
}

func TestDockerIlls(t *testing.T) {
	t.Parallel()
	for name, i := range ills(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, i.options)
			d := s.docker()
			if i.harm != nil {
				i.harm(s, &d)
			}
			failed, skipped := i.failed, []string{}
			for _, r := range RunChecks(t.Context(), DockerChecks(d)) {
				switch {
				case r.Skipped:
					if skipped = append(skipped, r.Name); r.OK || !strings.HasPrefix(r.Detail, "not checked: ") {
						t.Errorf("skipped: %+v", r)
					}
				case !r.OK:
					want, rest, _ := strings.Cut(failed, "\n")
					failed = rest
					check, part, _ := strings.Cut(want, ": ")
					if r.Name != check || !strings.Contains(r.Detail, part) || r.Remedy == "" {
						t.Errorf("failed: %+v, want %q", r, want)
					}
				}
			}
			if got := strings.Join(skipped, " "); got != i.skipped || failed != "" {
				t.Errorf("skipped %q, want %q; and %q does not fail", got, i.skipped, failed)
			}
		})
	}
}
