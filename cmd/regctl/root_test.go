package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"regctl/stack/auth"
)

// walk calls f for a command and all below it.
func walk(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, f)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	exitLine := regexp.MustCompile(`(?m)^ {2,4}(\d+)  \S`)
	e := &env{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, stdin: &bytes.Buffer{}}
	seen := 0
	walk(newRoot(e), func(cmd *cobra.Command) {
		seen++
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", path, cmd.Short)
		}
		if cmd.Example == "" && !cmd.HasSubCommands() {
			t.Errorf("%s has no example", path)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(line, "regctl ") || !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q", path, line)
			}
		}
		var out bytes.Buffer
		e := &env{stdout: &out, stderr: &out, stdin: &out}
		args := append(strings.Fields(path)[1:], "--help")
		if code := run(t.Context(), args, e); code != codeDone {
			t.Errorf("%q: exit %d", args, code)
		}
		_, section, ok := strings.Cut(out.String(), "\nExit codes:\n")
		if !ok {
			t.Fatalf("%s: help has no exit codes:\n%s", path, out.String())
		}
		var codes []string
		for _, m := range exitLine.FindAllStringSubmatch(section, -1) {
			codes = append(codes, m[1])
		}
		if len(codes) < 2 || codes[0] != "0" || codes[len(codes)-1] != "130" {
			t.Errorf("%s: exit codes %q", path, codes)
		}
	})
	if seen < 25 {
		t.Errorf("only %d commands", seen)
	}
}

// TestFlags finds flags of a command that hide those of its parents.
func TestFlags(t *testing.T) {
	t.Parallel()
	e := &env{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, stdin: &bytes.Buffer{}}
	walk(newRoot(e), func(cmd *cobra.Command) {
		inherited := map[string]bool{}
		cmd.VisitParents(func(parent *cobra.Command) {
			parent.PersistentFlags().VisitAll(func(f *pflag.Flag) { inherited["--"+f.Name], inherited["-"+f.Shorthand] = true, true })
		})
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if inherited["--"+f.Name] || f.Shorthand != "" && inherited["-"+f.Shorthand] {
				t.Errorf("%s: --%s hides a flag of a parent", cmd.CommandPath(), f.Name)
			}
			if f.Usage == "" {
				t.Errorf("%s: --%s has no help", cmd.CommandPath(), f.Name)
			}
		})
	})
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{errors.New("broken"), 1, "regctl: error: broken\n"},
		{errors.New("two\nlines \x1b[2J"), 1, "regctl: error: two: lines \\x1b[2J\n"},
		{fmt.Errorf("asking: %w", context.Canceled), 130, "regctl: error: interrupted\n"},
		{&auth.AdminError{Kind: auth.KindUsage, Message: "bad"}, 2, "regctl: error: bad\n"},
		{&auth.AdminError{Kind: auth.KindNotFound, Message: "none", Hint: "look"}, 1, "regctl: error: none\nregctl: hint: look\n"},
		{fmt.Errorf("doing: %w", &auth.AdminError{Kind: auth.KindConflict, Message: "exists"}), 1, "regctl: error: exists\n"},
		{quiet(codeFailed), 1, ""},
		{usageError("try", "wrong %d", 3), 2, "regctl: error: wrong 3\nregctl: hint: try\n"},
	} {
		var errs bytes.Buffer
		e := &env{stderr: &errs}
		if code := e.report(test.err); code != test.code || errs.String() != test.want {
			t.Errorf("%v: exit %d, %q; want %d, %q", test.err, code, errs.String(), test.code, test.want)
		}
	}
}

// TestInterrupted: a run that was told to stop exits as shells expect.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"user", "list", "--dir", s.dir}, &env{stdin: &out, stdout: &out, stderr: &errs})
	if code != codeInterrupted || out.Len() > 0 || errs.String() != "regctl: error: interrupted\n" {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}
