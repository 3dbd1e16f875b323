package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strconv"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

func newConfigCmd(e *env) *cobra.Command {
	return group("config", "the settings of an installation: check them, print their schema",
		newConfigCheckCmd(e),
		newConfigSchemaCmd(e),
	)
}

func newConfigCheckCmd(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "check a regctl.yaml, and print all that is wrong with it",
		Long: `Check a regctl.yaml and print all that is wrong with it: FILE, or that of an
installation. It looks at nothing but the file.`,
		Example: `  regctl config check ./regctl.yaml
  regctl config check --dir /srv/regctl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("usage: "+cmd.UseLine(), "unexpected argument %q", args[1])
			}
			if len(args) == 1 && cmd.Flags().Changed("dir") {
				return usageError("", "FILE and --dir exclude each other")
			}
			return nil
		},
		Annotations: exits("0 nothing is wrong", codeFailed, codeUsage),
		RunE: func(_ *cobra.Command, args []string) error {
			file := provision.Paths{Dir: dir}.Config()
			if len(args) == 1 {
				file = args[0]
			}
			return checkConfig(e, file)
		},
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory of the installation")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

func checkConfig(e *env, file string) error {
	look := host.Local{}.Looker()
	c, err := readConfig(look, file)
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("", "%v", err)
	}
	if err != nil {
		return err
	}
	text, err := look.ReadFile(absolute(file))
	if err != nil {
		return err
	}
	wrong := &refusal{}
	for _, p := range c.Problems() {
		place := file
		if line := provision.ConfigLine(text.Content, p.Key); line > 0 {
			place += ":" + strconv.Itoa(line)
		}
		wrong.lines = append(wrong.lines, place+": "+p.String())
	}
	if len(wrong.lines) > 0 {
		return wrong
	}
	for _, p := range c.Refused() {
		e.note("%s: %s", file, p)
	}
	e.note("%s: nothing is wrong", file)
	return nil
}

func newConfigSchemaCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:         "schema",
		Short:       "print the JSON schema of regctl.yaml",
		Long:        "Print the JSON schema of regctl.yaml, for editors that complete and check YAML by one.",
		Example:     "  regctl config schema > regctl.schema.json",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeUsage),
		RunE: func(*cobra.Command, []string) error {
			enc := json.NewEncoder(e.stdout)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(provision.ConfigSchema())
		},
	}
}
