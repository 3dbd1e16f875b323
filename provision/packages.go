package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
)

// PackagesInput says what a host is to have of Debian's packages.
type PackagesInput struct {
	// EngineHost is the engine's address as in DOCKER_HOST; "" is the socket of
	// an engine that a package installs. For any other nothing is installed.
	EngineHost string
	// Ping asks whether the engine answers. Any error means that it does not.
	Ping func(context.Context) error

	Extra    []string // packages that are wanted besides: ufw, fail2ban
	Services []string // those of them that shall run, now and after a restart: fail2ban

	// Record is where the names of the packages that the step installs are kept,
	// for [InstalledPackages]. Its directory exists when the step is applied.
	Record string
}

// packages is the step that installs what is missing and starts what does not
// run. It never upgrades or removes a package.
//
// It cannot be undone: whether somebody has come to use a package in the
// meantime nobody knows, and removing an engine stops everyone's containers.
// What it has installed is told when everything else is taken back.
type packages struct{ PackagesInput }

// NewPackages is the step "packages".
func NewPackages(in PackagesInput) step.Step { return packages{in} }

// Packages is where the packages step of an installation keeps what it
// installed.
func (p Paths) Packages() string { return p.in("packages.installed") }

// InstalledPackages are those that the packages step with this record has
// installed, or was about to when it was interrupted; none without a record.
func InstalledPackages(l host.Looker, record string) ([]string, error) {
	text, err := readText(l, record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(text), err
}

// Name implements [step.Step].
func (packages) Name() string { return "packages" }

// dockerService is the name of the service of docker.io and docker-ce.
const dockerService = "docker"

// Check implements [step.Step].
func (p packages) Check(ctx context.Context, l host.Looker) (step.Change, error) {
	missing, err := p.missing(ctx, l)
	if err != nil {
		return step.Change{}, err
	}
	if len(missing) > 0 {
		apt, err := host.Exists(l, aptGet)
		if err == nil && !apt {
			return step.Wait.Because("there is no apt on this host: install by hand what is in its package of %s", strings.Join(missing, ", ")), nil
		}
		return step.Create.Because("not installed: %s", strings.Join(missing, ", ")), err
	}
	stopped, err := p.stopped(ctx, l)
	switch {
	case err != nil:
		return step.Change{}, err
	case len(stopped) > 0:
		return step.Update.Because("not running: %s", strings.Join(stopped, ", ")), nil
	case !isPackaged(p.EngineHost):
		return step.Keep.Because("the engine is at %s", p.EngineHost), nil
	}
	return step.Keep.Because("the engine answers"), nil
}

// Apply implements [step.Step].
func (p packages) Apply(ctx context.Context, m host.Machine) error {
	missing, err := p.missing(ctx, m)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := p.install(ctx, m, missing); err != nil {
			return err
		}
	}
	stopped, err := p.stopped(ctx, m)
	if err != nil {
		return err
	}
	for _, service := range stopped {
		step.Report(ctx, step.Progress{Text: "starting " + service})
		if err := startService(ctx, m, service); err != nil {
			return err
		}
		if service == dockerService {
			if err := p.awaitEngine(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// install installs packages by name, with what they depend on.
func (p packages) install(ctx context.Context, m host.Machine, names []string) error {
	// An archive that does not answer need not be the one that is needed: that
	// it did not counts if the installation fails.
	unreachable, err := refresh(ctx, m)
	if err != nil {
		return err
	}
	if names, err = withClient(ctx, m, names); err != nil {
		return err
	}
	if err := p.note(m, names); err != nil {
		return err
	}
	return installNow(ctx, m, names, unreachable)
}

// withClient adds the docker program to an engine, where it is a package of its
// own: since Debian 13.
func withClient(ctx context.Context, l host.Looker, names []string) ([]string, error) {
	if !slices.Contains(names, "docker.io") {
		return names, nil
	}
	if _, err := l.Look(ctx, host.Command("/usr/bin/apt-cache", "show", "docker-cli")); err != nil {
		return names, ctx.Err()
	}
	return append(slices.Clone(names), "docker-cli"), nil
}

// note adds names to the record, before they are installed: a killed run has
// told what it was about to do.
func (p packages) note(m host.Machine, names []string) error {
	noted, err := InstalledPackages(m, p.Record)
	if err != nil {
		return err
	}
	all := slices.Compact(slices.Sorted(slices.Values(append(noted, names...))))
	_, err = m.WriteFile(p.Record, host.File{Content: []byte(strings.Join(all, "\n") + "\n"), Mode: 0o644})
	return err
}

// missing are the wanted packages that are not installed.
func (p packages) missing(ctx context.Context, l host.Looker) ([]string, error) {
	wanted := slices.Clone(p.Extra)
	if isPackaged(p.EngineHost) {
		engine, err := p.enginePackages(ctx, l)
		if err != nil {
			return nil, err
		}
		wanted = append(engine, wanted...)
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	installed, err := installedPackages(ctx, l)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(wanted, func(name string) bool { return installed[name] }), nil
}

// enginePackages are what the engine lacks. Of what docker.io merely recommends
// only this is needed: certificates to pull images with, and the parser without
// which no container starts on a kernel with AppArmor. The rest (git,
// needrestart, xz-utils) is not ours to bring.
func (p packages) enginePackages(ctx context.Context, l host.Looker) (names []string, err error) {
	if p.Ping(ctx) != nil {
		there, err := engineProgram(l)
		if err != nil {
			return nil, err
		}
		if !there {
			names = append(names, "docker.io", "ca-certificates")
		}
	}
	parser, err := lacksParser(l)
	if parser {
		names = append(names, "apparmor")
	}
	return names, err
}

// installedPackages asks dpkg. All are asked for at once, because a name that
// it does not know is an error to dpkg-query. Without dpkg there are none.
func installedPackages(ctx context.Context, l host.Looker) (map[string]bool, error) {
	const dpkgQuery = "/usr/bin/dpkg-query"
	if found, err := host.Exists(l, dpkgQuery); err != nil || !found {
		return nil, err
	}
	out, err := l.Look(ctx, host.Command(dpkgQuery, "--show", "--showformat", `${db:Status-Status} ${Package}\n`))
	if err != nil {
		return nil, fmt.Errorf("asking which packages are installed: %w", err)
	}
	installed := map[string]bool{}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "installed "); ok {
			installed[name] = true
		}
	}
	return installed, nil
}
