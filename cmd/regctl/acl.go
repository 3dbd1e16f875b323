package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

func newACLCmd(e *env) *cobra.Command {
	s := &server{}
	cmd := group("acl", "the access list: which account may do what",
		newACLAddCmd(e, s),
		newACLListCmd(e, s),
		newACLSetCmd(e, s),
		newACLRemoveCmd(e, s),
		newACLMoveCmd(e, s),
		newACLTestCmd(e, s),
	)
	cmd.Long = `The access list. Rules are tried by rising number (seq), and the first whose
conditions all hold decides; if none does, access is denied.

A condition is KEY=PATTERN with a key of account, type (repository, registry),
name (of the repository), service, ip (address or network) and label.KEY (of the
account). A pattern is a glob, in which * does not match "/", or a /regular
expression/. ${labels:KEY} stands for each value of that label of the account,
${account} for its name.`
	s.addFlags(cmd)
	return cmd
}

func newACLAddCmd(e *env, s *server) *cobra.Command {
	var (
		seq        int64
		match      []string
		everything bool
		actions    actionFlags
		dates      dateFlags
		comment    string
	)
	cmd := &cobra.Command{
		Use:   "add",
		Short: "add a rule",
		Example: `  regctl acl add --seq 10 --match 'name=${labels:full-access}' --actions '*' --comment 'full access'
  regctl acl add --match 'name=prod/*' --match ip=10.0.0.0/8 --actions pull
  regctl acl add --seq 5 --match account=guest --match 'name=/^secret//' --deny --expires 2027-01-31`,
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage),
	}
	flags := cmd.Flags()
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, _ []string) error {
		r := auth.NewRule{Comment: comment}
		var err error
		if r.Actions, err = actions.value(cmd); err != nil {
			return err
		}
		switch noMatch := len(match) == 0 && !everything; {
		case noMatch && r.Actions == nil:
			return missing(cmd, "--match (or --match-all)", "--actions (or --deny)")
		case noMatch:
			return missing(cmd, "--match (or --match-all)")
		case r.Actions == nil:
			return missing(cmd, "--actions (or --deny)")
		case everything && len(match) > 0:
			return usageError("", "--match and --match-all exclude each other")
		}
		if r.Match, err = parseMatch(match); err != nil {
			return err
		}
		if r.Window, err = dates.window(e); err != nil {
			return err
		}
		if flags.Changed("seq") {
			r.Seq = &seq
		}
		added, err := c.AddRule(ctx, r)
		if err != nil {
			return err
		}
		if added.Existed {
			e.note("rule %d is there already", added.Seq)
			return nil
		}
		e.note("rule %d added%s", added.Seq, e.until(added.Window))
		return nil
	})
	flags.Int64Var(&seq, "seq", 0, "number of the rule, which is its place (default: after all others)")
	flags.StringArrayVarP(&match, "match", "m", nil, "condition `KEY=PATTERN`; can be repeated, and all must hold")
	flags.BoolVar(&everything, "match-all", false, "no condition: the rule decides for everyone and everything")
	flags.StringVar(&comment, "comment", "", "a note about the rule")
	actions.addFlags(cmd)
	dates.addFlags(cmd, "the rule")
	return cmd
}

func newACLListCmd(e *env, s *server) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:         "list",
		Aliases:     []string{"ls"},
		Short:       "list the rules in the order in which they are tried",
		Example:     "  regctl acl list",
		Args:        wantArgs(),
		Annotations: exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, _ []string) error {
		rules, err := c.Rules(ctx)
		if err != nil {
			return err
		}
		return output.print(e.stdout, rules, func(w io.Writer) error {
			rows := make([][]string, len(rules))
			for i, r := range rules {
				rows[i] = []string{ruleTitle(r.Rule, r.Source), auth.DescribeMatch(r.Match), actionList(r.Actions),
					e.ruleStatus(r.Rule), e.moment(r.Expires), r.Comment}
			}
			return printTable(w, []string{"SEQ", "MATCH", "ACTIONS", "STATUS", "EXPIRES", "COMMENT"}, rows)
		})
	})
	output.addFlag(cmd)
	return cmd
}

// ruleTitle names a rule in a table.
func ruleTitle(r store.Rule, source auth.Source) string {
	if source == auth.SourceConfig {
		return fmt.Sprintf("%d (config)", r.Seq)
	}
	return strconv.FormatInt(r.Seq, 10)
}

func actionList(actions []string) string {
	if len(actions) == 0 {
		return "(denied)"
	}
	return strings.Join(actions, ",")
}

func (e *env) ruleStatus(r store.Rule) string {
	now := e.now()
	switch {
	case r.Over(now):
		return string(auth.Expired)
	case r.Pending(now):
		return "from " + e.moment(r.NotBefore)
	default:
		return e.standing(auth.Active, r.Expires)
	}
}

func newACLSetCmd(e *env, s *server) *cobra.Command {
	var (
		match   []string
		actions actionFlags
		dates   dateFlags
		clear   clearFlag
		comment string
		edit    auth.RuleEdit
	)
	cmd := &cobra.Command{
		Use:   "set SEQ",
		Short: "change a rule",
		Long:  "Change a rule; what is not named stays. --match replaces all conditions.",
		Example: `  regctl acl set 20 --actions pull,push
  regctl acl set 20 --expires 2027-01-31 --comment 'until the audit'
  regctl acl set 20 --clear expires`,
		Args:              wantArgs("SEQ"),
		ValidArgsFunction: s.completeRules,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		if !anyChanged(cmd, "match", "actions", "deny", "comment", "expires", "not-before", "clear") {
			return usageError(seeHelp(cmd), "nothing to change")
		}
		var err error
		if edit.Seq, err = parseSeq(args[0]); err != nil {
			return err
		}
		edit.Clear = clear.value()
		if len(match) > 0 {
			m, err := parseMatch(match)
			if err != nil {
				return err
			}
			edit.Match = &m
		}
		granted, err := actions.value(cmd)
		if err != nil {
			return err
		}
		if granted != nil {
			edit.Actions = &granted
		}
		if edit.NotBefore, edit.Expires, err = dates.edits(e); err != nil {
			return err
		}
		if cmd.Flags().Changed("comment") {
			edit.Comment = &comment
		}
		r, err := c.SetRule(ctx, edit)
		if err != nil {
			return err
		}
		e.note("rule %d changed%s", r.Seq, e.until(r.Window))
		return nil
	})
	flags := cmd.Flags()
	flags.StringArrayVarP(&match, "match", "m", nil, "condition `KEY=PATTERN`; can be repeated, and all must hold")
	flags.StringVar(&comment, "comment", "", "a note about the rule")
	actions.addFlags(cmd)
	dates.addFlags(cmd, "the rule")
	clear.addFlag(cmd, "comment", "expires", "not-before")
	return cmd
}

func parseSeq(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, usageError("list the rules: regctl acl list", "%q is not the number of a rule", text)
	}
	return seq, nil
}

func newACLRemoveCmd(e *env, s *server) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "remove SEQ",
		Aliases:           []string{"rm"},
		Short:             "remove a rule",
		Example:           "  regctl acl remove 20",
		Args:              wantArgs("SEQ"),
		ValidArgsFunction: s.completeRules,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		seq, err := parseSeq(args[0])
		if err != nil {
			return err
		}
		r, err := c.RemoveRule(ctx, seq)
		if err != nil {
			return err
		}
		e.note("rule %d removed: %s; %s", r.Seq, auth.DescribeMatch(r.Match), actionList(r.Actions))
		return nil
	})
	return cmd
}

func newACLMoveCmd(e *env, s *server) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "move SEQ NEW-SEQ",
		Aliases:           []string{"mv"},
		Short:             "give a rule another number, and so another place",
		Example:           "  regctl acl move 20 5",
		Args:              wantArgs("SEQ", "NEW-SEQ"),
		ValidArgsFunction: s.completeRules,
		Annotations:       exits(codeDone, codeFailed, codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		from, err := parseSeq(args[0])
		if err != nil {
			return err
		}
		to, err := parseSeq(args[1])
		if err != nil {
			return err
		}
		if _, err := c.MoveRule(ctx, auth.RuleMove{From: from, To: to}); err != nil {
			return err
		}
		e.note("rule %d is now %d", from, to)
		return nil
	})
	return cmd
}
