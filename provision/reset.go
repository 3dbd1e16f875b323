package provision

import (
	"context"
	"errors"
	"syscall"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Part is something of an installation that outlives a reset.
type Part struct {
	Path string `json:"path"`
	What string `json:"what"`
}

// kept are what people put into an installation, and what others trust: reset
// leaves it unless it is told to purge.
func (in *Installation) kept() []Part {
	return []Part{
		{in.RegistryData(), "images"},
		{in.AuthData(), "users, rules, tokens and the audit log"},
		{in.MongoData(), "users, rules and tokens"},
		{in.Certs(), "certificates and the local CA"},
		{in.in("acme"), "account at the certificate authority"},
		{in.Auth(), "the CA that signs tokens"},
		{in.Registry(), "secrets of the registry"},
		{in.Mongo(), "passwords of the database"},
		{in.Templates(), "your own templates"},
		{in.AdminPassword(), "first password of the admin"},
		{in.Paths.Config(), "settings"},
		{in.Packages(), "names of the packages that were installed; they stay installed"},
	}
}

// Kept are the parts that are there.
func (in *Installation) Kept(l host.Looker) ([]Part, error) {
	var out []Part
	for _, p := range in.kept() {
		found, err := host.Exists(l, p.Path)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, p)
		}
	}
	return out, nil
}

// Reset takes back what apply created on this host, the last first. Each step's
// undoing is told to say before it begins.
func (in *Installation) Reset(ctx context.Context, m host.Machine, j *Journal, say func(name string)) error {
	undo := func(u step.Undoer) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		say(u.Name())
		return u.Undo(ctx, m)
	}
	return j.Undo(undo, m, in.Steps())
}

// Purge removes what a reset has left of the installation. The directory itself
// stays if there is anything else in it.
func (in *Installation) Purge(m host.Machine) error {
	paths := []string{in.Run(), in.in("bin"), in.in("data"), in.Nginx(), in.ImagesLock(), in.Compose()}
	for _, p := range in.kept() {
		paths = append(paths, p.Path)
	}
	for _, path := range append(paths, in.lock()) {
		if _, err := m.RemoveAll(path); err != nil {
			return err
		}
	}
	_, err := m.Remove(in.Dir)
	if errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}
