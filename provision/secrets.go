package provision

import (
	"context"
	"crypto/rand"
	"strings"

	"regctl/provision/host"
	"regctl/provision/step"
)

// secretFile is a secret that programs read from a file of its own. It is random,
// or with text what that makes of other secrets.
type secretFile struct {
	path  string
	owner host.Owner
	text  func(host.Looker) (string, error)
}

// secrets is the step that makes those that are missing; random ones have 160
// bits in base32. It never replaces one: something is protected by it already.
type secrets []secretFile

// Name implements [step.Step].
func (secrets) Name() string { return "secrets" }

// Check implements [step.Step].
func (s secrets) Check(_ context.Context, l host.Looker) (step.Change, error) {
	var missing []string
	for _, f := range s {
		found, err := host.Exists(l, f.path)
		if err != nil {
			return step.Change{}, err
		}
		if !found {
			missing = append(missing, f.path)
		}
	}
	if len(missing) == 0 {
		return step.Keep.Because("%s", counted(len(s), "secret", "secrets")), nil
	}
	return step.Create.Because("no %s", strings.Join(missing, ", ")), nil
}

// Apply implements [step.Step].
func (s secrets) Apply(_ context.Context, m host.Machine) error {
	for _, f := range s {
		found, err := host.Exists(m, f.path)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		secret := rand.Text() + rand.Text()[:6] // the registry's shall have 32 characters or more
		if f.text != nil {
			if secret, err = f.text(m); err != nil {
				return err
			}
		}
		if err := m.CreateSecret(f.path, host.NewSecret(secret), f.owner); err != nil {
			return err
		}
	}
	return nil
}
