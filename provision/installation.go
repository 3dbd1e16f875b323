package provision

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"regctl/provision/host"
	"regctl/stack"
	"regctl/stack/auth"
	"regctl/templates"
)

// What tokens say in an installation. The registry and the auth server are told
// the same, so nobody has to choose.
const (
	TokenIssuer  = "regctl"
	TokenService = "Docker registry"
)

// containerUser runs the registry, the auth server and nginx's workers. It is
// the user of nginx's official image; under one user they can open each
// other's sockets, which the registry makes with mode 0755.
var containerUser = host.Owner{UID: 101, GID: 101}

// Installation is a directory and what it is to hold.
type Installation struct {
	Paths
	Config  Config // with its defaults
	Version string // of this regctl
	Now     func() time.Time

	engine     *stack.Engine
	dockerHost string
	own        *stack.OwnImage
}

// Ground is what an installation is made with.
type Ground struct {
	Engine  *stack.Engine
	Program string // path of the regctl that runs
	// DockerHost is DOCKER_HOST, for the unit that brings the stack up; "": the
	// engine of this host.
	DockerHost string
	Now        func() time.Time
}

// New is the installation that c describes.
func New(dir string, c Config, on Ground) *Installation {
	in := &Installation{Paths: Paths{dir}, Config: c.WithDefaults(), Version: auth.Version(), Now: on.Now, engine: on.Engine, dockerHost: on.DockerHost}
	in.own = stack.NewOwnImage(on.Engine, on.Program, in.OwnProgram(), in.Version)
	return in
}

// project is the installation as Docker's compose sees it.
func (in *Installation) project() stack.Project {
	return stack.Project{Name: in.Config.Name, Dir: in.Dir, File: in.Compose()}
}

// Preflight are the checks whether this host can have the installation.
func (in *Installation) Preflight() []PreflightCheck {
	return PreflightChecks(PreflightInput{
		Dir: in.Dir, Hosts: in.Config.Hosts(), HTTPPort: in.Config.Edge.HTTPPort, HTTPSPort: in.Config.Edge.HTTPSPort,
		ACME: in.Config.TLS.Mode == TLSACME, Mongo: in.Config.Store == storeMongo,
		EngineHost: in.dockerHost, Engine: in.engineInfo,
	})
}

// Checks are the health checks of the installation, whose server takes commands at
// this socket.
func (in *Installation) Checks(ctx context.Context, adminSocket string) []Check {
	target := in.Config.Target(in.Paths, TokenService)
	target.AdminSocket = adminSocket
	target, _ = target.Reachable(ctx)
	wanted := []string{"auth", "nginx", "registry"}
	if in.Config.Store == storeMongo {
		wanted = append(wanted, "mongo")
	}
	return DockerChecks(Docker{
		Target: target, Paths: in.Paths, UID: containerUser.UID, Wanted: wanted,
		Services: func(ctx context.Context) ([]stack.ServiceHealth, error) { return in.engine.Health(ctx, in.project()) },
	})
}

func (in *Installation) engineInfo(ctx context.Context) (EngineInfo, error) {
	i, err := in.engine.Info(ctx)
	return EngineInfo{Version: i.Version, API: i.API, Firewall: i.Firewall, Root: i.Root, Rootless: i.Rootless}, err
}

// ReloadEdge has the running edge use the files that are on the disk.
func (in *Installation) ReloadEdge(ctx context.Context, m host.Machine) error {
	return in.reload().Apply(ctx, m)
}

// Title says what is set up where, by what.
func (in *Installation) Title() string {
	return fmt.Sprintf("regctl %s: %s in %s", in.Version, strings.Join(in.Config.Hosts(), " and "), in.Dir)
}

// MakeDir makes the installation's directory and those above it.
func MakeDir(m host.Machine, dir string) error {
	if found, err := host.Exists(m, dir); found || err != nil {
		return err
	}
	if err := MakeDir(m, filepath.Dir(dir)); err != nil {
		return err
	}
	_, err := m.Mkdir(dir, 0o755, host.Owner{})
	return err
}

// data is what the templates are made from. What is not known before a first
// run is empty, or the default.
func (in *Installation) data(l host.Looker) (templates.Data, error) {
	lock, err := stack.ReadLock(l, in.ImagesLock())
	if err != nil {
		return templates.Data{}, err
	}
	own, err := in.own.Reference()
	if err != nil {
		return templates.Data{}, err
	}
	secret, err := readSecret(l, in.HTTPSecret())
	if err != nil {
		return templates.Data{}, err
	}
	ipv6, err := host.Exists(l, "/proc/net/if_inet6")
	if err != nil {
		return templates.Data{}, err
	}
	c := in.Config
	refs := in.references()
	d := templates.Data{
		Name: c.Name, Dir: in.Dir,
		Host: c.Host, AuthHost: c.Auth.Host,
		HTTPPort: c.Edge.HTTPPort, HTTPSPort: c.Edge.HTTPSPort, IPv6: ipv6,
		NginxVersion: cmp.Or(c.Edge.NginxVersion, lock.Images[refs.Nginx].Nginx, defaultNginx),
		TLSProfile:   c.TLS.Profile, HSTS: *c.TLS.HSTS,
		Builtin: c.Images.Builtin, Store: c.Store, MongoUI: c.Mongo.UI,
		NginxImage: lock.Reference(refs.Nginx), RegistryImage: lock.Reference(refs.Registry),
		AuthImage: own, MongoImage: lock.Reference(refs.Mongo), MongoUIImage: lock.Reference(refs.MongoUI),
		UID: containerUser.UID, NginxUser: "nginx", // by this name in the official image
		TokenIssuer: TokenIssuer, TokenService: TokenService,
		HTTPSecret: host.NewSecret(cmp.Or(secret, noSecretYet)), MemoryMiB: memory(l),
		DockerHost: in.dockerHost,
	}
	return d, nil
}

// noSecretYet stands in a plan, and in a preview, for the secret that a step makes.
const noSecretYet = "written-by-the-step-called-secrets"

// defaultNginx is the version that is rendered for before the image is there.
const defaultNginx = "1.30.6"

// references are the images by name, before they are pinned.
func (in *Installation) references() Images {
	i := in.Config.Images
	i.Nginx = cmp.Or(i.Nginx, stack.NginxImage)
	i.Registry = cmp.Or(i.Registry, stack.RegistryImage)
	i.Mongo = cmp.Or(i.Mongo, stack.MongoImage)
	i.MongoUI = cmp.Or(i.MongoUI, stack.MongoUIImage)
	return i
}

// readSecret is empty before there is one.
func readSecret(l host.Looker, path string) (string, error) {
	f, err := l.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(f.Content)), err
}

// memory of the host in MiB, 0 if it does not tell (proc(5)).
func memory(l host.Looker) int {
	f, err := l.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(f.Content)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib / 1024
		}
	}
	return 0
}

// rendered are all files of the installation that templates make.
func (in *Installation) rendered(l host.Looker) ([]templates.File, error) {
	d, err := in.data(l)
	if err != nil {
		return nil, err
	}
	return templates.Render(d, in.ownTemplates(l))
}

// ownTemplates finds the user's templates, in the installation's directory.
func (in *Installation) ownTemplates(l host.Looker) func(string) ([]byte, bool) {
	return func(name string) ([]byte, bool) {
		f, err := l.ReadFile(filepath.Join(in.Templates(), name+".tmpl"))
		return f.Content, err == nil
	}
}

// Preview are the files that templates make, without secrets in them. Names are
// paths below the installation, or below the root directory.
func (in *Installation) Preview(l host.Looker) ([]templates.File, error) {
	d, err := in.data(l)
	if err != nil {
		return nil, err
	}
	d.HTTPSecret = host.NewSecret(noSecretYet)
	return templates.Render(d, in.ownTemplates(l))
}

// state is a hash of everything that a proof of the installation is about: its
// configuration, images and certificates.
func (in *Installation) state(l host.Looker) (string, error) {
	sum := sha256.New()
	files, err := in.rendered(l)
	if err != nil {
		return "", err
	}
	paths := []string{in.SigningCert()}
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	for _, h := range in.Config.Hosts() {
		paths = append(paths, in.Pair(h))
	}
	for _, path := range paths {
		f, err := l.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", path, len(f.Content))
		sum.Write(f.Content)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
