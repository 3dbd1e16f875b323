package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newTokenCmd(e *env) *cobra.Command {
	s := &server{}
	cmd := group("token", "secrets for robots: each with its own rights and end",
		newTokenCreateCmd(e, s),
		newTokenListCmd(e, s),
		newTokenRevokeCmd(e, s),
	)
	s.addFlags(cmd)
	return cmd
}

func newTokenCreateCmd(e *env, s *server) *cobra.Command {
	var (
		t     auth.NewToken
		dates dateFlags
	)
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "create a named token, which stands for the password of USER",
		Long: `Create a named token and print its secret, alone, on standard output. It is shown
only now. Clients log in with USER and the secret as the password. A token may
do what its user may do, and if it has scopes, only that part of it.`,
		Example: `  regctl token create waldi --name ci --scope 'repository:prod/*:pull' --expires 90d
  regctl token create waldi --name laptop | docker login -u waldi --password-stdin registry.example.com`,
		Args:              wantArgs("USER"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		if !cmd.Flags().Changed("name") {
			return missing(cmd, "--name")
		}
		t.User = args[0]
		var err error
		if t.Window, err = dates.window(e); err != nil {
			return err
		}
		created, err := c.CreateToken(ctx, t)
		if err != nil {
			return err
		}
		e.note("token %s of %s created%s; its secret is shown only now", created.Name, created.User, e.until(created.Window))
		_, err = fmt.Fprintln(e.stdout, created.Secret)
		return err
	})
	flags := cmd.Flags()
	flags.StringVar(&t.Name, "name", "", "name of the token, for the list and the audit log (required)")
	flags.StringArrayVar(&t.Scopes, "scope", nil, "narrow it to `TYPE:NAME-PATTERN:ACTIONS`; can be repeated")
	dates.addFlags(cmd, "the token")
	return cmd
}

func newTokenListCmd(e *env, s *server) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:     "list [USER]",
		Aliases: []string{"ls"},
		Short:   "list named and refresh tokens",
		Long: `List the tokens of an account, or of all. A named token was created by an admin, a
refresh token by the login of a client.`,
		Example:           "  regctl token list\n  regctl token list waldi --output json",
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return wantArgs("USER")(cmd, args)
		},
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		tokens, err := c.Tokens(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		return output.print(e.stdout, tokens, func(w io.Writer) error {
			rows := make([][]string, len(tokens))
			for i, t := range tokens {
				rows[i] = []string{t.ID, string(t.Kind), t.User, tokenTitle(t), strings.Join(t.Scopes, " "),
					e.standing(t.Standing, t.Expires), e.moment(t.Expires), e.moment(t.LastUsed)}
			}
			return printTable(w, []string{"ID", "KIND", "USER", "NAME", "SCOPES", "STATUS", "EXPIRES", "LAST USED"}, rows)
		})
	})
	output.addFlag(cmd)
	return cmd
}

// tokenTitle is a named token's name, and for a refresh token the client that
// holds it and the service it is for.
func tokenTitle(t auth.TokenInfo) string {
	if t.Kind == auth.NamedToken {
		return t.Name
	}
	return strings.TrimSpace(t.ClientID + " @ " + t.Service)
}

func newTokenRevokeCmd(e *env, s *server) *cobra.Command {
	var r auth.Revocation
	cmd := &cobra.Command{
		Use:   "revoke [USER [NAME]]",
		Short: "end tokens",
		Long: `End a named token by user and name, any token by its id, or all tokens of a user.
Registry tokens that were issued for it stay valid until they expire, minutes
later.`,
		Example: `  regctl token revoke waldi ci
  regctl token revoke --id 1f0c9a7be2d34455
  regctl token revoke waldi --all`,
		ValidArgsFunction: s.completeTokens,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case r.ID != "" && r.All:
				return usageError("", "--id and --all exclude each other")
			case r.ID != "":
				return wantArgs()(cmd, args)
			case r.All:
				return wantArgs("USER")(cmd, args)
			default:
				return wantArgs("USER", "NAME")(cmd, args)
			}
		},
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		if len(args) > 0 {
			r.User = args[0]
		}
		if len(args) > 1 {
			r.Name = args[1]
		}
		gone, err := c.RevokeTokens(ctx, r)
		if err != nil {
			return err
		}
		for _, t := range gone {
			e.note("%s token %s of %s revoked (%s)", t.Kind, visible(tokenTitle(t)), t.User, t.ID)
		}
		if len(gone) == 0 {
			e.note("user %s has no tokens", r.User)
		}
		return nil
	})
	cmd.Flags().StringVar(&r.ID, "id", "", "the token with this id, as in regctl token list")
	cmd.Flags().BoolVar(&r.All, "all", false, "all named and refresh tokens of USER")
	return cmd
}
