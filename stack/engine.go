// Package stack brings the containers of an installation up on a Docker
// engine and keeps them as they shall be: images, compose project, reloads,
// health. Docker's own compose SDK does the work, so that `docker compose -p
// NAME ps` on the host knows the containers for its own.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	dockerclient "github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
	"github.com/sirupsen/logrus"
)

// Engine is a Docker engine: the one that the docker command would talk to by
// the same environment (DOCKER_HOST, DOCKER_CONTEXT, DOCKER_TLS_VERIFY …).
type Engine struct {
	api  *dockerclient.Client
	cli  *command.DockerCli
	host string
}

// ErrNoEngine is the cause of errors when no engine answers.
var ErrNoEngine = errors.New("no Docker engine answers")

// Connect finds out where the engine is. It does not call it: there may be
// none yet, and a later step installs it. An error means that the environment
// or the docker configuration of this user makes no sense.
func Connect(context.Context) (*Engine, error) {
	options := flags.NewClientOptions()
	options.TLSOptions = tlsFromEnv()
	quiet := []command.CLIOption{
		command.WithInputStream(io.NopCloser(strings.NewReader(""))),
		command.WithCombinedStreams(io.Discard),
	}
	// Made here and handed in because DockerCli ends the process if it cannot
	// make one itself.
	dial, err := command.NewAPIClientFromFlags(options, config.LoadDefaultConfigFile(io.Discard))
	if err != nil {
		return nil, fmt.Errorf("finding the Docker engine (look at DOCKER_HOST, DOCKER_CONTEXT and `docker context ls`): %w", err)
	}
	cli, err := command.NewDockerCli(quiet...)
	if err == nil {
		err = cli.Initialize(options, command.WithAPIClient(dial))
	}
	if err != nil {
		return nil, fmt.Errorf("finding the Docker engine: %w", err)
	}
	// The user's proxies would end up in every container's environment, for
	// docker inspect to show with their passwords.
	cli.ConfigFile().Proxies = nil

	host := dial.DaemonHost()
	local, err := dockerclient.NewClientWithOpts(
		dockerclient.WithHost(host),
		dockerclient.WithVersionFromEnv(),
		dockerclient.WithAPIVersionNegotiation(),
		// TLS and contexts are in the other client's way to connect.
		dockerclient.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) { return dial.Dialer()(ctx) }),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to the Docker engine at %s: %w", host, err)
	}
	return &Engine{api: local, cli: cli, host: host}, nil
}

// tlsFromEnv is what DOCKER_TLS, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask
// for, as the docker command understands them; nil for no TLS. Its own reading
// of them cannot be called twice at the same time (flags.InstallFlags).
func tlsFromEnv() *tlsconfig.Options {
	verify := os.Getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && os.Getenv("DOCKER_TLS") == "" {
		return nil
	}
	dir := cmp.Or(os.Getenv("DOCKER_CERT_PATH"), config.Dir())
	o := tlsconfig.Options{CAFile: filepath.Join(dir, flags.DefaultCaFile), InsecureSkipVerify: !verify}
	cert, key := filepath.Join(dir, flags.DefaultCertFile), filepath.Join(dir, flags.DefaultKeyFile)
	if _, err := os.Stat(cert); err == nil { // a client certificate is optional
		o.CertFile, o.KeyFile = cert, key
	}
	return &o
}

// Close ends idle connections.
func (e *Engine) Close() error { return errors.Join(e.api.Close(), e.cli.Client().Close()) }

// Host is the engine's address, as in DOCKER_HOST.
func (e *Engine) Host() string { return e.host }

// Ping asks whether the engine answers. An error that wraps [ErrNoEngine]
// means that there is none, or that it is not running.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.api.Ping(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case strings.Contains(err.Error(), "permission denied"):
		return fmt.Errorf("asking the Docker engine at %s: permission denied: run regctl as root", e.host)
	case dockerclient.IsErrConnectionFailed(err):
		return fmt.Errorf("%w at %s: start it (systemctl start docker), or point DOCKER_HOST to another", ErrNoEngine, e.host)
	}
	return fmt.Errorf("asking the Docker engine at %s: %w", e.host, err)
}

// Info is what a set-up wants to know about an engine.
type Info struct {
	Version   string   // of the engine: "29.10.0"
	API       string   // version that both sides speak: "1.41"
	Cgroup    string   // version of control groups: "1" or "2"
	Firewall  string   // what it filters packets with: "iptables", "nftables"; "" before engine 29
	Storage   string   // driver of images: "overlay2", "overlayfs"
	Root      string   // directory of images and containers
	Security  []string // what confines containers: "apparmor", "seccomp", "selinux"
	Rootless  bool     // it cannot bind ports below 1024, and its uid 0 is not the host's
	LocalUnix bool     // reached through a unix socket, so most likely on this host
	MemoryMiB int64
}

// Info asks the engine; errors as of [Engine.Ping].
func (e *Engine) Info(ctx context.Context) (Info, error) {
	if err := e.Ping(ctx); err != nil {
		return Info{}, err
	}
	got, err := e.api.Info(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("asking the Docker engine at %s: %w", e.host, err)
	}
	info := Info{
		Version: got.ServerVersion, API: e.api.ClientVersion(), Cgroup: got.CgroupVersion,
		Storage: got.Driver, Root: got.DockerRootDir, MemoryMiB: got.MemTotal >> 20,
		LocalUnix: strings.HasPrefix(e.host, "unix://"),
	}
	if got.FirewallBackend != nil {
		info.Firewall = got.FirewallBackend.Driver
	}
	for _, option := range got.SecurityOptions { // "name=seccomp,profile=default"
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		info.Security = append(info.Security, name)
		info.Rootless = info.Rootless || name == "rootless"
	}
	return info, nil
}

// sdk is the compose SDK, which reports to whoever watches ctx and prints
// nothing.
func (e *Engine) sdk(ctx context.Context) (api.Compose, error) {
	// The SDK warns through the process-wide logger. What it warns of (left
	// over containers, networks of others) is either done or found by Check.
	logrus.SetOutput(io.Discard)
	return compose.NewComposeService(e.cli,
		compose.WithEventProcessor(events{ctx}),
		// It only asks whether to destroy a volume's data.
		compose.WithPrompt(func(string, bool) (bool, error) { return false, nil }),
	)
}
