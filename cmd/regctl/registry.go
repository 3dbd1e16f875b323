package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"regctl/stack/embedded"
)

func newRegistryCmd(e *env) *cobra.Command {
	return group("registry", "the registry alone", newRegistryServeCmd(e))
}

func newRegistryServeCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "serve CONFIG",
		Short: "run the registry with a configuration file of distribution",
		Long: `Run distribution's registry, as a part of this program, with a configuration file
as its image takes it (config.yml), storage.filesystem and auth.token only. With
images: builtin, containers run this in place of that image.`,
		Example:     "  regctl registry serve /srv/regctl/registry/config.yml",
		Args:        wantArgs("CONFIG"),
		Annotations: exits("0 stopped when it was asked to", codeFailed, codeUsage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return serveRegistry(cmd.Context(), e, args[0])
		},
	}
}

func serveRegistry(ctx context.Context, e *env, path string) error {
	config, err := embedded.ReadRegistryFile(path)
	if err != nil {
		return configError(err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelDebug})) // the file has the level
	return stopped(ctx, configError(embedded.ServeRegistry(ctx, config, embedded.RegistryServeOptions{
		AccessLog: e.stdout, Log: log,
		Ready: func(addr net.Addr) { log.Info("serving", "address", addr.String()) },
	})))
}
