package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
	"regctl/stack/auth"
)

// admin is the step that gives an empty store its rules and its first admin.
// Accounts are people's from then on: it does not touch a store that has any.
type admin struct {
	name         string
	passwordFile string // the operator's; "" makes one in ownFile
	ownFile      string
	client       *auth.Client
}

// Name implements [step.Step].
func (*admin) Name() string { return "admin" }

// Check implements [step.Step].
func (s *admin) Check(ctx context.Context, _ host.Looker) (step.Change, error) {
	users, err := s.client.Users(ctx)
	switch {
	case errors.Is(err, auth.ErrNoServer):
		return step.Create.Because("no auth server yet that would know %s", s.name), nil
	case err != nil:
		return step.Change{}, err
	case len(users) > 0:
		return step.Keep.Because("%s", counted(len(users), "account", "accounts")), nil
	}
	rules, err := s.client.Rules(ctx)
	switch {
	case err != nil:
		return step.Change{}, err
	case len(rules) > 0:
		return step.Keep.Because("no account, and %s already", counted(len(rules), "rule", "rules")), nil
	}
	return step.Create.Because("no accounts and no rules yet"), nil
}

// Apply implements [step.Step].
func (s *admin) Apply(ctx context.Context, m host.Machine) error {
	password, err := s.password(m)
	if err != nil {
		return err
	}
	_, err = s.client.Bootstrap(ctx, s.name, password.Reveal())
	return err
}

// password is the operator's, or else one that is made and kept before it is
// used: an interrupted run must not leave an account whose password nobody has.
func (s *admin) password(m host.Machine) (host.Secret, error) {
	path := s.passwordFile
	if path == "" {
		path = s.ownFile
		err := m.CreateSecret(path, host.NewSecret(rand.Text()+"\n"), host.Owner{})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return host.Secret{}, err
		}
	}
	f, err := m.ReadFile(path)
	if err != nil {
		return host.Secret{}, fmt.Errorf("reading the admin's password: %w", err)
	}
	text := strings.TrimRight(string(f.Content), "\r\n")
	if text == "" || strings.Contains(text, "\n") {
		return host.Secret{}, fmt.Errorf("reading the admin's password: %s must hold one line", path)
	}
	return host.NewSecret(text), nil
}
