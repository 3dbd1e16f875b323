package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
	"regctl/stack/embedded"
)

func newEdgeCmd(e *env) *cobra.Command {
	return group("edge", "the edge alone", newEdgeServeCmd(e))
}

func newEdgeServeCmd(e *env) *cobra.Command {
	var user int
	cmd := &cobra.Command{
		Use:   "serve FILE",
		Short: "run the edge in front of a registry and an auth server at unix sockets",
		Long: `Run the edge: it serves TLS, and passes requests on to a registry and an auth
server at unix sockets. FILE is its edge.yaml. With images: builtin, containers
run this in place of nginx.

Certificates are loaded again when their files change, and on SIGHUP; a bad one
is reported and the old one stays in use. The access log is on standard output.`,
		Example:     "  regctl edge serve --user 101 /srv/regctl/nginx/edge.yaml",
		Args:        wantArgs("FILE"),
		Annotations: exits("0 stopped when it was asked to", codeFailed, codeUsage),
		RunE: func(cmd *cobra.Command, args []string) error {
			if user < 0 {
				return usageError("", "--user: %d is no user", user)
			}
			return serveEdge(cmd.Context(), e, args[0], user)
		},
	}
	cmd.Flags().IntVar(&user, "user", 0, "`NUMBER` of the user and group to become once the ports are open")
	return cmd
}

func serveEdge(ctx context.Context, e *env, path string, user int) error {
	file, err := embedded.ReadEdgeFile(path)
	if err != nil {
		return configError(err)
	}
	reload, stop := onHangup(ctx)
	defer stop()
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	return stopped(ctx, embedded.ServeEdge(ctx, file, embedded.EdgeServeOptions{
		User: user, Reload: reload, AccessLog: e.stdout, Log: log,
		Ready: func(http, https []net.Addr) {
			log.Info("serving", "http", fmt.Sprint(http), "https", fmt.Sprint(https))
		},
	}))
}

// configError makes a fault of a configuration file a wrong usage.
func configError(err error) error {
	var config *auth.ConfigError
	if errors.As(err, &config) {
		return usageError("", "%v", err)
	}
	return err
}
