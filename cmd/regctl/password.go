package main

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/spf13/cobra"
)

// passwordFlags are the ways to give a new password. It is never an argument:
// those are visible to everyone on the machine.
type passwordFlags struct {
	stdin, hashStdin, generate bool
}

func (p *passwordFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&p.stdin, "password-stdin", false, "read the password from standard input")
	flags.BoolVar(&p.hashStdin, "password-hash-stdin", false, "read a bcrypt hash, or a line of htpasswd -B, from standard input")
	flags.BoolVar(&p.generate, "generate", false, "make up a password and print it once")
}

// newPassword is a password or the hash of one.
type newPassword struct {
	text, hash string
	generated  bool
}

// read gets the new password of user. Before a person is asked for it, ready
// must say that it will be of use.
func (p *passwordFlags) read(ctx context.Context, e *env, user string, ready func() error) (newPassword, error) {
	switch given := p.given(); {
	case len(given) > 1:
		return newPassword{}, usageError("", "%s exclude each other", strings.Join(given, " and "))
	case p.stdin:
		text, err := e.stdinLine("password-stdin")
		return newPassword{text: text}, err
	case p.hashStdin:
		return readHash(e, user)
	case p.generate:
		return newPassword{text: rand.Text(), generated: true}, nil
	case !e.interactive:
		return newPassword{}, usageError("", "no terminal to ask for the password: give --password-stdin, --password-hash-stdin or --generate")
	}
	if err := ready(); err != nil {
		return newPassword{}, err
	}
	text, err := e.askPassword(ctx, user)
	return newPassword{text: text}, err
}

func (p *passwordFlags) given() (flags []string) {
	for _, f := range []struct {
		set  bool
		name string
	}{{p.stdin, "--password-stdin"}, {p.hashStdin, "--password-hash-stdin"}, {p.generate, "--generate"}} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return flags
}

// readHash accepts a hash alone or after "USER:", as htpasswd writes it.
func readHash(e *env, user string) (newPassword, error) {
	const flag = "password-hash-stdin"
	line, err := e.stdinLine(flag)
	if err != nil {
		return newPassword{}, err
	}
	name, hash, isLine := strings.Cut(line, ":")
	if !isLine {
		hash = line
	} else if name != user {
		return newPassword{}, usageError("", "--%s: the line is for user %q, not for %q", flag, name, user)
	}
	if hash == "" {
		return newPassword{}, usageError("", "--%s: the hash is empty", flag)
	}
	return newPassword{hash: hash}, nil
}
