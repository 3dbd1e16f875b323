package main

import (
	"context"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newUserSetCmd(e *env, s *server) *cobra.Command {
	var (
		dates            dateFlags
		clear            clearFlag
		set, add, remove []string
		edit             auth.UserEdit
		comment          string
	)
	cmd := &cobra.Command{
		Use:   "set USER",
		Short: "change an account's labels, dates or comment",
		Long: `Change an account's labels, dates or comment; what is not named stays. --clear is
done first, then --label, --add-label and --remove-label.`,
		Example: `  regctl user set waldi --add-label 'read-only-access=prod/*'
  regctl user set waldi --label full-access=test --remove-label read-only-access
  regctl user set waldi --expires 90d
  regctl user set waldi --clear expires`,
		Args:              wantArgs("USER"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	flags := cmd.Flags()
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		if !anyChanged(cmd, "label", "add-label", "remove-label", "comment", "expires", "not-before", "clear") {
			return usageError(seeHelp(cmd), "nothing to change")
		}
		edit.Name, edit.Clear = args[0], clear.value()
		var err error
		if edit.SetLabels, err = parseLabels("label", set); err != nil {
			return err
		}
		if edit.AddLabels, err = parseLabels("add-label", add); err != nil {
			return err
		}
		if edit.RemoveLabels, err = parseRemovedLabels("remove-label", remove); err != nil {
			return err
		}
		if edit.NotBefore, edit.Expires, err = dates.edits(e); err != nil {
			return err
		}
		if flags.Changed("comment") {
			edit.Comment = &comment
		}
		u, err := c.SetUser(ctx, edit)
		if err != nil {
			return err
		}
		e.note("user %s changed%s", u.Name, e.until(u.Window))
		return nil
	})
	flags.StringArrayVarP(&set, "label", "l", nil, "give the label `KEY=VALUE` instead of all values that KEY has; can be repeated")
	flags.StringArrayVar(&add, "add-label", nil, "add the label `KEY=VALUE`; can be repeated")
	flags.StringArrayVar(&remove, "remove-label", nil, "remove the label `KEY=VALUE`, or all values of KEY; can be repeated")
	flags.StringVar(&comment, "comment", "", "a note about the account")
	dates.addFlags(cmd, "the account")
	clear.addFlag(cmd, "labels", "comment", "expires", "not-before")
	return cmd
}

func anyChanged(cmd *cobra.Command, flags ...string) bool {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}
