package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

// versionInfo says what this program was built from and with.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(e *env) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:         "version",
		Short:       "print the version",
		Example:     "  regctl version --output json",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeUsage),
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{auth.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return output.print(e.stdout, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "regctl %s %s %s\n", v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
	output.addFlag(cmd)
	return cmd
}
