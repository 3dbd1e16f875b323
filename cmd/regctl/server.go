package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

// defaultDir is where an installation lives if nothing else is said.
const defaultDir = "/srv/regctl"

// adminSocket is where the server of an installation takes commands.
func adminSocket(dir string) string { return filepath.Join(dir, "run", "admin.sock") }

// server is how a command reaches the running server.
type server struct{ dir, socket string }

// addFlags adds the flags to a command and those below it.
func (s *server) addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.dir, "dir", defaultDir, "directory of the installation")
	flags.StringVar(&s.socket, "socket", "", "admin socket of the server (default DIR/run/admin.sock)")
	must(cmd.MarkPersistentFlagDirname("dir"))
	must(cmd.MarkPersistentFlagFilename("socket"))
}

// must reports a mistake in the definition of a command, which any test finds.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s *server) path() string { return cmp.Or(s.socket, adminSocket(s.dir)) }

func (s *server) client() *auth.Client { return auth.NewClient(s.path()) }

// call makes a command's run function of one that needs the server.
func (s *server) call(f func(ctx context.Context, c *auth.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), s.client(), args)
		if errors.Is(err, auth.ErrNoServer) {
			hint := "start it: regctl serve --dir " + s.dir
			if s.socket != "" {
				hint = "start it: regctl auth serve CONFIG, with this path as server.admin_socket"
			}
			return &failure{codeFailed, err.Error(), hint}
		}
		return err
	}
}
