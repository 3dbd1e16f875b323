package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newCompletionCmd(e *env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print the completion script for bash, zsh or fish",
		Example: `  source <(regctl completion bash)
  regctl completion zsh > "${fpath[1]}/_regctl"
  regctl completion fish > ~/.config/fish/completions/regctl.fish`,
		Args:        wantArgs("SHELL"),
		ValidArgs:   shells,
		Annotations: exits(codeDone, codeUsage),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(e.stdout, true)
			case "zsh":
				return root.GenZshCompletion(e.stdout)
			case "fish":
				return root.GenFishCompletion(e.stdout, true)
			}
			return usageError("", "unknown shell %q: want bash, zsh or fish", args[0])
		},
	}
}

// completionTimeout is what a person waits for a key press.
const completionTimeout = time.Second

// complete makes a completion of one that asks the server, which may not be
// there: then nothing is suggested.
func (s *server) complete(cmd *cobra.Command, suggest func(context.Context, *auth.Client) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	return suggest(ctx, s.client()), cobra.ShellCompDirectiveNoFileComp
}

// completeUsers suggests account names for the first argument.
func (s *server) completeUsers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(cmd, func(ctx context.Context, c *auth.Client) (names []cobra.Completion) {
		if len(args) > 0 {
			return nil
		}
		users, _ := c.Users(ctx)
		for _, u := range users {
			if u.Name != "" {
				names = append(names, cobra.CompletionWithDesc(u.Name, u.Comment))
			}
		}
		return names
	})
}

// completeRules suggests numbers of rules for the first argument.
func (s *server) completeRules(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return s.complete(cmd, func(ctx context.Context, c *auth.Client) (numbers []cobra.Completion) {
		if len(args) > 0 {
			return nil
		}
		rules, _ := c.Rules(ctx)
		for _, r := range rules {
			if r.Source == auth.SourceStore {
				numbers = append(numbers, cobra.CompletionWithDesc(strconv.FormatInt(r.Seq, 10), auth.DescribeMatch(r.Match)))
			}
		}
		return numbers
	})
}

// completeTokens suggests a user, then the name of one of its tokens.
func (s *server) completeTokens(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return s.completeUsers(cmd, args, typed)
	}
	return s.complete(cmd, func(ctx context.Context, c *auth.Client) (names []cobra.Completion) {
		tokens, _ := c.Tokens(ctx, args[0])
		for _, t := range tokens {
			if t.Kind == auth.NamedToken {
				names = append(names, cobra.CompletionWithDesc(t.Name, t.ID))
			}
		}
		return names
	})
}
