package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/stack/auth"
	"regctl/stack/auth/store"
	"regctl/stack/embedded"
)

// The exit codes of all commands.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codePending     = 3
	codeUnhealthy   = 4
	codeLocked      = 5
	codeLater       = 6
	codeInterrupted = 130 // 128 + SIGINT, as shells have it
)

// exitTexts say what the codes mean, where a command says nothing else.
func exitTexts() map[int]string {
	return map[int]string{
		codeDone:        "done",
		codeFailed:      "failed",
		codeUsage:       "wrong usage or configuration; nothing was changed",
		codePending:     "changes are pending",
		codeUnhealthy:   "a check is failing",
		codeLocked:      "another run holds the lock",
		codeLater:       "try again later: rate limit or network",
		codeInterrupted: "interrupted",
	}
}

// exitNote is the annotation of commands that holds their exit codes.
const exitNote = "exit codes"

// exits notes a command's exit codes for its help, each as CODE or with a text
// of its own as CODE TEXT. All commands can be interrupted.
func exits(codes ...any) map[string]string {
	var lines []string
	for _, code := range append(codes, codeInterrupted) {
		switch code := code.(type) {
		case int:
			lines = append(lines, fmt.Sprintf("%d %s", code, exitTexts()[code]))
		case string:
			lines = append(lines, code)
		}
	}
	return map[string]string{exitNote: strings.Join(lines, "\n")}
}

// printExits ends a command's help.
func printExits(w io.Writer, cmd *cobra.Command) {
	fmt.Fprintln(w, "\nExit codes:")
	for line := range strings.Lines(cmd.Annotations[exitNote]) {
		code, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		fmt.Fprintf(w, "  %3s  %s\n", code, text)
	}
}

// failure is an error of a command with its exit code, and a hint that says what
// to do. An empty message prints nothing.
type failure struct {
	code          int
	message, hint string
}

func (f *failure) Error() string { return f.message }

// usageError is a failure of the caller.
func usageError(hint, format string, args ...any) error {
	return &failure{codeUsage, fmt.Sprintf(format, args...), hint}
}

// refusal is several failures of the caller at once, each for a line of its own.
type refusal struct {
	lines []string
	hint  string
}

func (r *refusal) Error() string { return strings.Join(r.lines, "\n") }

// quiet ends a command with a code; it has said what there was to say.
func quiet(code int) error { return &failure{code: code} }

// toFailure decides the exit code and the texts of any error.
func toFailure(err error) *failure {
	var known *failure
	var admin *auth.AdminError
	var locked *embedded.LockedError
	var busy *provision.LockedError
	var hinted interface {
		error
		Hint() string
	}
	var option *embedded.OptionError
	var proof *provision.VerifyError
	var several *refusal
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{codeInterrupted, "interrupted", ""}
	case errors.As(err, &known):
		return known
	case errors.As(err, &admin) && admin.Kind == auth.KindUsage:
		return &failure{codeUsage, admin.Message, admin.Hint}
	case errors.As(err, &admin):
		return &failure{codeFailed, admin.Message, admin.Hint}
	case errors.As(err, &option):
		return &failure{codeUsage, fmt.Sprintf("--%s: %v", option.Option, option.Err), option.Hint}
	case errors.As(err, &several):
		return &failure{codeUsage, several.Error(), several.hint}
	case errors.As(err, &busy):
		return &failure{codeLocked, err.Error(), "wait until it is done"}
	case errors.As(err, &locked):
		return &failure{codeLocked, err.Error(), "look at it: regctl status --dir " + locked.Dir}
	case errors.As(err, &proof):
		return &failure{codeUnhealthy, err.Error(), proof.Hint}
	case errors.Is(err, store.ErrLocked):
		return &failure{codeLocked, err.Error(), ""}
	case errors.As(err, &hinted):
		return &failure{codeFailed, err.Error(), hinted.Hint()}
	default:
		return &failure{codeFailed, err.Error(), ""}
	}
}

// stopped is the error of a server that ended with ctx: what went wrong while it
// stopped is told, and is not taken for the interruption.
func stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return toFailure(err)
}

// report prints an error the way all commands do and returns the exit code:
//
//	regctl: error: doing what: cause
//	regctl: hint: the command or fix
func (e *env) report(err error) int {
	if err == nil {
		return codeDone
	}
	f := toFailure(err)
	messages := []string{f.message}
	if all, ok := errors.AsType[*refusal](err); ok {
		messages = all.lines
	}
	for _, message := range messages {
		if message != "" {
			fmt.Fprintf(e.stderr, "regctl: error: %s\n", oneLine(message))
		}
	}
	if f.hint != "" {
		fmt.Fprintf(e.stderr, "regctl: hint: %s\n", oneLine(f.hint))
	}
	return f.code
}
