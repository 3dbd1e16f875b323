package certs

import (
	"context"
	"fmt"

	"regctl/provision/host"
	"regctl/provision/step"
)

type dhParams struct {
	mode DHMode
	file string
}

// NewDHParams sees to it that file, which nginx reads, holds a Diffie-Hellman
// group (PEM, mode 0644). A group of RFC 7919 is there at once; with mode own
// it is for the start, and a group of the host's own stays (see [NewOwnDH]).
// The operator's file is checked and copied, again when it has changed. The
// directory of file exists.
func NewDHParams(mode DHMode, file string) step.Step { return dhParams{mode, file} }

func (dhParams) Name() string { return "dhparams" }

func (s dhParams) Check(_ context.Context, l host.Looker) (step.Change, error) {
	if s.mode.Own {
		return s.checkOwn(l)
	}
	group, source, err := s.wanted(l)
	if err != nil {
		return step.Change{}, err
	}
	change, err := compare(l, s.file, groupAsFile(group), source)
	// A copy in place was checked when it was made.
	if err == nil && change.Action != step.Keep && s.mode.File != "" {
		err = s.vet(group)
	}
	return change, err
}

// checkOwn keeps whatever group is there.
func (s dhParams) checkOwn(l host.Looker) (step.Change, error) {
	file, err := readIfThere(l, s.file)
	if err != nil {
		return step.Change{}, err
	}
	if file == nil {
		return step.Create.Because("no file %s", s.file), nil
	}
	group, err := ParseDH(file.Content)
	if err != nil {
		return step.Update.Because("%s %v", s.file, err), nil
	}
	return compareMode(s.file, *file, groupAsFile(group)), nil
}

// wanted is the group that shall be in the file, and where it is from.
func (s dhParams) wanted(l host.Looker) (group *DHParams, source string, err error) {
	if s.mode.File == "" {
		group, err = RFC7919(s.mode.Size())
		return group, fmt.Sprintf("group ffdhe%d of RFC 7919", s.mode.Size()), err
	}
	text, err := l.ReadFile(s.mode.File)
	if err != nil {
		return nil, "", fmt.Errorf("group: %w", err)
	}
	if group, err = ParseDH(text.Content); err != nil {
		return nil, "", fmt.Errorf("group %s: %w", s.mode.File, err)
	}
	return group, s.mode.File, nil
}

func (s dhParams) vet(group *DHParams) error {
	if err := CheckDH(group); err != nil {
		return fmt.Errorf("group %s: %w", s.mode.File, err)
	}
	return nil
}

func (s dhParams) Apply(ctx context.Context, m host.Machine) error {
	if s.mode.Own {
		// It is called for a good group too, whose file has a wrong mode.
		if file, err := m.ReadFile(s.file); err == nil {
			if group, err := ParseDH(file.Content); err == nil {
				return writeGroup(m, s.file, group)
			}
		}
	}
	group, _, err := s.wanted(m)
	if err != nil {
		return err
	}
	if err := s.vet(group); err != nil {
		return err
	}
	return writeGroup(m, s.file, group)
}

func groupAsFile(group *DHParams) host.File {
	return host.File{Content: group.Encode(), Mode: 0o644}
}

func writeGroup(m host.Machine, path string, group *DHParams) error {
	_, err := m.WriteFile(path, groupAsFile(group))
	return err
}
