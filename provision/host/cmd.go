package host

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// MaxOutput is how much a command may print, in bytes, before it counts as failed.
const MaxOutput = 1 << 20

// stopTime is what a command has between the polite end of its context
// (SIGTERM) and the end of its life (SIGKILL).
const stopTime = 10 * time.Second

// Cmd is a program and its arguments. There is no shell between them and the
// program, so nothing in them needs quoting.
type Cmd struct {
	// Argv is the program, a name on PATH or an absolute path, and its
	// arguments. Never a secret: ps(1) shows them to every user.
	Argv []string

	// Env is added to the little that commands inherit (see [Local]).
	Env map[string]string

	// SecretEnv is added too, and prints as stars.
	SecretEnv map[string]Secret

	// Stdin is the whole standard input, and prints as stars.
	Stdin Secret
}

// Command is a Cmd of nothing but arguments.
func Command(argv ...string) Cmd { return Cmd{Argv: argv} }

// String shows the command as one would type it, for people to read: words
// with blanks in them are quoted as in Go, secrets are stars.
func (c Cmd) String() string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		words = append(words, k+"="+quote(c.Env[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(c.SecretEnv)) {
		words = append(words, k+"="+stars)
	}
	for _, a := range c.Argv {
		words = append(words, quote(a))
	}
	if c.Stdin.Reveal() != "" {
		words = append(words, "<", stars)
	}
	return strings.Join(words, " ")
}

func quote(word string) string {
	q := fmt.Sprintf("%q", word)
	if word == "" || strings.ContainsAny(word, " '|&;<>()$`*?#~") || q != `"`+word+`"` {
		return q
	}
	return word
}

// redact replaces the command's secrets in what its program printed. Secrets
// of fewer than four bytes stay: replacing every "1" would hide the output
// rather than the secret.
func (c Cmd) redact(output string) string {
	secrets := slices.Collect(maps.Values(c.SecretEnv))
	for _, s := range append(secrets, c.Stdin) {
		for line := range strings.Lines(s.Reveal()) {
			if line = strings.TrimSpace(line); len(line) >= 4 {
				output = strings.ReplaceAll(output, line, stars)
			}
		}
	}
	return output
}

// CmdError is a command that failed, with everything there is to know about it.
type CmdError struct {
	Cmd    string // the command as [Cmd.String] shows it
	Status int    // its exit status; -1 if it did not start, or was ended by a signal
	Output string // its standard output and error, roughly as they came, without its secrets
	Err    error  // the cause: not found, ended by a signal, the context's error, too much output
}

// NewCmdError says why c failed. Output is cleared of the secrets of c.
func NewCmdError(c Cmd, status int, output string, cause error) *CmdError {
	return &CmdError{Cmd: c.String(), Status: status, Output: c.redact(output), Err: cause}
}

// Error is one line, followed by the whole output if there is any.
func (e *CmdError) Error() string {
	text := fmt.Sprintf("running %s: %v", e.Cmd, e.Err)
	if out := strings.TrimSpace(e.Output); out != "" {
		text += "\n" + out
	}
	return text
}

// Unwrap returns the cause.
func (e *CmdError) Unwrap() error { return e.Err }

// ExitStatus is the status with which a command ended: 0 for no error, and
// -1 for any error that is not about a command that ran to its end.
func ExitStatus(err error) int {
	if err == nil {
		return 0
	}
	if failed, ok := errors.AsType[*CmdError](err); ok {
		return failed.Status
	}
	return -1
}

// ErrNoProgram is the cause of a [CmdError] whose program is not installed.
var ErrNoProgram = exec.ErrNotFound
