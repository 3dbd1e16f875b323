package certs

import (
	"bytes"

	"regctl/provision/host"
	"regctl/provision/step"
)

// compare says what it takes to make path the file want. source is where its
// content comes from, for the cause.
func compare(l host.Looker, path string, want host.File, source string) (step.Change, error) {
	got, err := readIfThere(l, path)
	switch {
	case err != nil:
		return step.Change{}, err
	case got == nil:
		return step.Create.Because("no file %s", path), nil
	case !bytes.Equal(got.Content, want.Content):
		return step.Update.Because("%s differs from %s", path, source), nil
	}
	return compareMode(path, *got, want), nil
}

// compareMode looks at what is to be had without the content.
func compareMode(path string, got, want host.File) step.Change {
	switch {
	case got.Mode != want.Mode:
		return step.Update.Because("%s has mode %04o, not %04o", path, got.Mode, want.Mode)
	case got.Owner != want.Owner:
		return step.Update.Because("%s belongs to user and group %d:%d, not %d:%d", path, got.Owner.UID, got.Owner.GID, want.Owner.UID, want.Owner.GID)
	}
	return step.Keep.Because("%s", path)
}
