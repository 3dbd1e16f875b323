package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxStdin bounds what is read as a password.
const maxStdin = 4096

// confirm asks a question that yes or y answers. Without a person to ask it is
// an error that names the flag which answers it.
func (e *env) confirm(ctx context.Context, question, flag string) error {
	if !e.interactive {
		return usageError("", "no terminal to ask for confirmation: give --%s", flag)
	}
	reply, err := e.ask(ctx, question+" [y/N] ", func(tty *os.File) (string, error) {
		line, err := bufio.NewReader(io.LimitReader(tty, maxStdin)).ReadString('\n')
		return strings.ToLower(strings.TrimSpace(line)), err
	})
	if err != nil {
		return err
	}
	if reply != "y" && reply != "yes" {
		return &failure{codeFailed, "not confirmed: nothing was changed", ""}
	}
	return nil
}

// askPassword asks twice for a new password, without showing it.
func (e *env) askPassword(ctx context.Context, user string) (string, error) {
	hidden := func(tty *os.File) (string, error) {
		text, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(tty)
		return string(text), err
	}
	first, err := e.ask(ctx, fmt.Sprintf("New password for %s: ", user), hidden)
	if err != nil {
		return "", err
	}
	second, err := e.ask(ctx, "The same again: ", hidden)
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usageError("", "the two passwords are not the same")
	}
	return first, nil
}

// ask prints a question to the terminal and reads the reply. An interruption
// leaves the terminal as it was.
func (e *env) ask(ctx context.Context, question string, read func(*os.File) (string, error)) (string, error) {
	tty, err := e.openTerminal()
	if err != nil {
		return "", fmt.Errorf("opening the terminal: %w", err)
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		tty.Close()
		return "", fmt.Errorf("reading the terminal's state: %w", err)
	}
	fmt.Fprint(tty, question)
	type reply struct {
		text string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		defer tty.Close() // not before the read ends, which an interruption does not
		text, err := read(tty)
		replies <- reply{text, err}
	}()
	select {
	case <-ctx.Done():
		term.Restore(int(tty.Fd()), before)
		fmt.Fprintln(tty)
		return "", ctx.Err()
	case r := <-replies:
		if r.err != nil {
			return "", fmt.Errorf("reading the reply: %w", r.err)
		}
		return r.text, nil
	}
}

// stdinLine reads the one line of standard input for the named flag.
func (e *env) stdinLine(flag string) (string, error) {
	if e.interactive {
		return "", usageError("leave the flag out to be asked, or pipe the line in", "--%s: standard input is a terminal", flag)
	}
	text, err := io.ReadAll(io.LimitReader(e.stdin, maxStdin+1))
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	if len(text) > maxStdin {
		return "", usageError("", "--%s: standard input is longer than %d bytes", flag, maxStdin)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if strings.Contains(line, "\n") {
		return "", usageError("", "--%s: standard input has more than one line", flag)
	}
	return line, nil
}
