package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newUserCmd(e *env) *cobra.Command {
	s := &server{}
	cmd := group("user", "accounts: who may log in, until when, with which labels",
		newUserAddCmd(e, s),
		newUserListCmd(e, s),
		newUserShowCmd(e, s),
		newUserSetCmd(e, s),
		newUserPasswdCmd(e, s),
		newUserDisableCmd(e, s),
		newUserEnableCmd(e, s),
		newUserRemoveCmd(e, s),
	)
	s.addFlags(cmd)
	return cmd
}

func newUserAddCmd(e *env, s *server) *cobra.Command {
	var (
		password passwordFlags
		dates    dateFlags
		labels   []string
		admin    bool
		comment  string
	)
	cmd := &cobra.Command{
		Use:   "add USER",
		Short: "create an account",
		Long: `Create an account. Labels say what it may do: rules refer to them, and in a new
installation full-access and read-only-access hold patterns of repository names.`,
		Example: `  regctl user add waldi --label full-access=test --label 'full-access=socke*'
  regctl user add guest --label 'read-only-access=prod/*' --expires 72h --generate
  echo "$PASSWORD" | regctl user add ci --password-stdin --expires 2027-01-31`,
		Args:        wantArgs("USER"),
		Annotations: exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		u := auth.NewUser{Name: args[0], Comment: comment}
		var err error
		if u.Window, err = dates.window(e); err != nil {
			return err
		}
		if u.Labels, err = parseLabels("label", labels); err != nil {
			return err
		}
		if admin {
			u.Labels[auth.AdminLabel] = append(u.Labels[auth.AdminLabel], auth.AdminValue)
		}
		pw, err := password.read(ctx, e, u.Name, func() error { return nameIsFree(ctx, c, u.Name) })
		if err != nil {
			return err
		}
		u.Password, u.PasswordHash = pw.text, pw.hash
		added, err := c.AddUser(ctx, u)
		if err != nil {
			return err
		}
		e.note("user %s added%s", added.Name, e.until(added.Window))
		return e.printGenerated(pw)
	})
	flags := cmd.Flags()
	flags.StringArrayVarP(&labels, "label", "l", nil, "label `KEY=VALUE`; can be repeated")
	flags.BoolVar(&admin, "admin", false, "make it an admin: the same as --label "+auth.AdminLabel+"="+auth.AdminValue)
	flags.StringVar(&comment, "comment", "", "a note about the account")
	dates.addFlags(cmd, "the account")
	password.addFlags(cmd)
	return cmd
}

// nameIsFree tells a person that a name is taken before asking for a password.
func nameIsFree(ctx context.Context, c *auth.Client, name string) error {
	users, err := c.Users(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(users, func(u auth.UserInfo) bool { return u.Name == name }) {
		return &failure{codeFailed, fmt.Sprintf("user %q exists already", name), "change it: regctl user set, regctl user passwd"}
	}
	return nil
}

// printGenerated shows a password that was made up, this once.
func (e *env) printGenerated(pw newPassword) error {
	if !pw.generated {
		return nil
	}
	_, err := fmt.Fprintln(e.stdout, pw.text)
	return err
}

func newUserListCmd(e *env, s *server) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:         "list",
		Aliases:     []string{"ls"},
		Short:       "list accounts",
		Long:        "List all accounts by name. Those that cannot log in, and those that end within two weeks, are marked.",
		Example:     "  regctl user list\n  regctl user list --output json",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, _ []string) error {
		users, err := c.Users(ctx)
		if err != nil {
			return err
		}
		return output.print(e.stdout, users, func(w io.Writer) error {
			rows := make([][]string, len(users))
			for i, u := range users {
				rows[i] = []string{userTitle(u), e.standing(u.Standing, u.Expires), labelList(u.Labels), e.moment(u.Expires), u.Comment}
			}
			return printTable(w, []string{"USER", "STATUS", "LABELS", "EXPIRES", "COMMENT"}, rows)
		})
	})
	output.addFlag(cmd)
	return cmd
}

// userTitle names an account in a table.
func userTitle(u auth.UserInfo) string {
	name := u.Name
	if name == "" {
		name = "(anonymous)"
	}
	if u.Source == auth.SourceConfig {
		name += " (config)"
	}
	return name
}

// labelList shows labels the way --label reads them.
func labelList(labels map[string][]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, value := range labels[key] {
			all = append(all, key+"="+value)
		}
	}
	return strings.Join(all, " ")
}

func newUserShowCmd(e *env, s *server) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:               "show USER",
		Short:             "show an account",
		Example:           "  regctl user show waldi",
		Args:              wantArgs("USER"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		u, err := c.User(ctx, args[0])
		if err != nil {
			return err
		}
		return output.print(e.stdout, u, func(w io.Writer) error {
			return printFields(w, [][2]string{
				{"user", userTitle(u)},
				{"status", e.standing(u.Standing, u.Expires)},
				{"labels", labelList(u.Labels)},
				{"not before", e.moment(u.NotBefore)},
				{"expires", e.moment(u.Expires)},
				{"created", e.moment(u.Created)},
				{"comment", u.Comment},
			})
		})
	})
	output.addFlag(cmd)
	return cmd
}

func newUserPasswdCmd(e *env, s *server) *cobra.Command {
	var password passwordFlags
	cmd := &cobra.Command{
		Use:               "passwd USER",
		Short:             "change an account's password",
		Long:              "Change an account's password. Logins that hold a refresh token end; named tokens stay.",
		Example:           "  regctl user passwd waldi\n  regctl user passwd waldi --generate",
		Args:              wantArgs("USER"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		name := args[0]
		pw, err := password.read(ctx, e, name, func() error { _, err := c.User(ctx, name); return err })
		if err != nil {
			return err
		}
		if _, err := c.SetPassword(ctx, auth.NewPassword{Name: name, Password: pw.text, PasswordHash: pw.hash}); err != nil {
			return err
		}
		e.note("password of %s changed", name)
		return e.printGenerated(pw)
	})
	password.addFlags(cmd)
	return cmd
}

func newUserDisableCmd(e *env, s *server) *cobra.Command {
	return userSwitchCmd(e, s, true, cobra.Command{
		Use:     "disable USER",
		Short:   "lock an account",
		Long:    "Lock an account with all its tokens until it is enabled again. Its refresh tokens end for good.",
		Example: "  regctl user disable waldi",
	})
}

func newUserEnableCmd(e *env, s *server) *cobra.Command {
	return userSwitchCmd(e, s, false, cobra.Command{
		Use:     "enable USER",
		Short:   "unlock an account",
		Example: "  regctl user enable waldi",
	})
}

func userSwitchCmd(e *env, s *server, disabled bool, cmd cobra.Command) *cobra.Command {
	cmd.Args = wantArgs("USER")
	cmd.ValidArgsFunction = s.completeUsers
	cmd.Annotations = exits(codeDone, codeFailed, codeUsage)
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		u, err := c.SetUser(ctx, auth.UserEdit{Name: args[0], Disabled: &disabled})
		if err != nil {
			return err
		}
		e.note("user %s is %s", u.Name, u.Standing)
		return nil
	})
	return &cmd
}

func newUserRemoveCmd(e *env, s *server) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "remove USER",
		Aliases:           []string{"rm"},
		Short:             "remove an account with its tokens",
		Example:           "  regctl user remove waldi\n  regctl user remove waldi --yes",
		Args:              wantArgs("USER"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		if !yes {
			if _, err := c.User(ctx, args[0]); err != nil {
				return err
			}
			if err := e.confirm(ctx, fmt.Sprintf("Remove user %s with all tokens?", args[0]), "yes"); err != nil {
				return err
			}
		}
		gone, err := c.RemoveUser(ctx, args[0])
		if err != nil {
			return err
		}
		e.note("user %s removed with %s", args[0], plural(gone.Tokens+gone.Refresh, "token"))
		return nil
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for confirmation")
	return cmd
}
