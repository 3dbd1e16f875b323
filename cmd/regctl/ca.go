package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"regctl/certs"
	"regctl/provision"
	"regctl/provision/host"
)

func newCACmd(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "print the certificate of the local CA, which clients must trust",
		Long: `Print the certificate of the local CA (PEM) on standard output, and on standard
error the commands that make docker, podman or a whole host trust it. Only
installations with tls.mode local have one.`,
		Example:     "  regctl ca --dir ./registry >ca.crt",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage),
		RunE: func(*cobra.Command, []string) error {
			config, paths, err := readInstallation(dir)
			if err != nil {
				return err
			}
			ca, err := localCA(dir, config, paths)
			if err != nil {
				return err
			}
			if _, err := e.stdout.Write(ca); err != nil {
				return err
			}
			e.explainTrust(config)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory of the installation")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

// localCA reads the certificate of the local CA.
func localCA(dir string, config provision.Config, paths provision.Paths) ([]byte, error) {
	switch config.TLS.Mode {
	case "acme":
		return nil, &failure{codeFailed, "there is no local CA: tls.mode is acme", "clients trust Let's Encrypt already"}
	case "files":
		return nil, &failure{codeFailed, "there is no local CA: tls.mode is files", "clients need to trust whoever issued " + config.TLS.Cert}
	}
	file, err := host.Local{}.Looker().ReadFile(certs.LocalCAFile(paths.Certs()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{codeFailed, "there is no local CA yet: " + err.Error(), "make it: regctl apply --dir " + dir}
	}
	return file.Content, err
}

// explainTrust tells what to do with the certificate on the clients.
func (e *env) explainTrust(config provision.Config) {
	say := func(where, line string) { e.note("%s:\n  %s", where, line) }
	e.note("As root on each client, with this certificate in the file ca.crt:")
	// Docker asks the token server with the trust of the registry's own
	// directory; containerd looks for one of that server.
	for _, name := range config.Hosts() {
		at := address(name, config.Edge.HTTPSPort)
		say("docker, at once", fmt.Sprintf("install -D -m 0644 ca.crt /etc/docker/certs.d/%s/ca.crt", at))
		say("podman, buildah, skopeo", fmt.Sprintf("install -D -m 0644 ca.crt /etc/containers/certs.d/%s/ca.crt", at))
	}
	say("all programs on Debian and Ubuntu, docker after a restart",
		fmt.Sprintf("install -D -m 0644 ca.crt /usr/local/share/ca-certificates/regctl-%s.crt && update-ca-certificates", config.Host))
	say("all programs on Fedora and RHEL, docker after a restart",
		fmt.Sprintf("install -D -m 0644 ca.crt /etc/pki/ca-trust/source/anchors/regctl-%s.crt && update-ca-trust", config.Host))
}

// address is how clients name a host: with the port unless it is that of https.
func address(name string, port int) string {
	if port == 443 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(port))
}
