package main

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

// addDirFlag adds the flag that says where the installation is.
func addDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultDir, "directory of the installation")
	must(cmd.MarkFlagDirname("dir"))
}

// readInstallation reads regctl.yaml in dir, with its defaults filled in.
func readInstallation(dir string) (provision.Config, provision.Paths, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return provision.Config{}, provision.Paths{}, err
	}
	paths := provision.Paths{Dir: abs}
	text, err := host.Local{}.Looker().ReadFile(paths.Config())
	if errors.Is(err, fs.ErrNotExist) {
		return provision.Config{}, paths, usageError("set one up: regctl init --dir "+dir, "no installation in %s: there is no file regctl.yaml", dir)
	}
	if err != nil {
		return provision.Config{}, paths, err
	}
	config, err := provision.ParseConfig(text.Content)
	if err != nil {
		return provision.Config{}, paths, usageError("", "%s: %v", paths.Config(), err)
	}
	return config.WithDefaults(), paths, nil
}
