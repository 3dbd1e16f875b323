package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

func newRenderCmd(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "render DIR",
		Short: "write the files that apply would write into a directory",
		Long: `Write every file that apply would write into DIR, to look at, and change nothing
else. Secrets are left empty.`,
		Example:     "  regctl render /tmp/look --dir /srv/regctl",
		Args:        wantArgs("DIR"),
		Annotations: exits(codeDone, codeFailed, codeUsage),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := e.installation(cmd.Context(), dir)
			if err != nil {
				return err
			}
			files, err := in.Preview(e.machine.Looker())
			if err != nil {
				return err
			}
			into, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			for _, f := range files {
				path := filepath.Join(into, f.Name)
				if err := provision.MakeDir(e.machine, filepath.Dir(path)); err != nil {
					return err
				}
				if _, err := e.machine.WriteFile(path, host.File{Content: f.Content, Mode: 0o644}); err != nil {
					return err
				}
				fmt.Fprintln(e.stdout, path)
			}
			return nil
		},
	}
	addDirFlag(cmd, &dir)
	return cmd
}
