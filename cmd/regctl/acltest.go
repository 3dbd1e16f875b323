package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

func newACLTestCmd(e *env, s *server) *cobra.Command {
	var (
		q      auth.RuleTest
		output format
	)
	cmd := &cobra.Command{
		Use:   "test USER REPO ACTION[,ACTION]",
		Short: "tell whether an account may do something, and why",
		Long: `Tell whether an account may do something, which rule decides, and why the rules
before it do not. USER "" is who does not log in.`,
		Example: `  regctl acl test waldi test push
  regctl acl test waldi prod/app pull,push --ip 10.1.2.3
  regctl acl test waldi catalog '*' --type registry`,
		Args:              wantArgs("USER", "REPO", "ACTION[,ACTION]"),
		ValidArgsFunction: s.completeUsers,
		Annotations:       exits("0 allowed", "1 denied, or failed", codeUsage),
	}
	cmd.RunE = s.call(func(ctx context.Context, c *auth.Client, args []string) error {
		q.User, q.Name, q.Actions = args[0], args[1], strings.Split(args[2], ",")
		result, err := c.TestRules(ctx, q)
		if err != nil {
			return err
		}
		err = output.print(e.stdout, result, func(w io.Writer) error { return e.printTest(w, q, result) })
		if err == nil && !result.Allowed {
			return quiet(codeFailed)
		}
		return err
	})
	flags := cmd.Flags()
	flags.StringVar(&q.Type, "type", "repository", "type of the resource: repository, or registry (whose one name is catalog)")
	flags.StringVar(&q.IP, "ip", "", "address of the client; without it no condition on ip holds")
	flags.StringVar(&q.Service, "service", "", "name of the registry's service, for conditions on service")
	output.addFlag(cmd)
	return cmd
}

func (e *env) printTest(w io.Writer, q auth.RuleTest, result auth.RuleTestResult) error {
	user := q.User
	if user == "" {
		user = "(anonymous)"
	}
	verdict := "denied"
	if result.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(w, "%s: %s %s of %s", verdict, visible(user), strings.Join(q.Actions, ","), visible(q.Name))
	if len(result.Granted) > 0 && !result.Allowed {
		fmt.Fprintf(w, " (only %s)", strings.Join(result.Granted, ","))
	}
	if result.Allowed && !result.Until.IsZero() {
		fmt.Fprintf(w, " (until %s)", e.moment(result.Until))
	}
	fmt.Fprintln(w)
	if result.Refusal != "" {
		fmt.Fprintln(w, result.Refusal)
	}
	rows, decided := [][]string{}, false
	for _, v := range result.Rules {
		why := v.Reason
		if v.Matched {
			why, decided = cmp.Or(v.Reason, "decides"), true
		}
		rows = append(rows, []string{ruleTitle(*v.Rule, v.Source), auth.DescribeMatch(v.Rule.Match), actionList(v.Rule.Actions), why})
	}
	if !decided {
		fmt.Fprintln(w, "no rule matches, so access is denied")
	}
	fmt.Fprintln(w)
	return printTable(w, []string{"SEQ", "MATCH", "ACTIONS", "RESULT"}, rows)
}
