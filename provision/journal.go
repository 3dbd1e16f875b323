package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Journal is what this installation has created, in order: the names of the
// steps that found nothing of theirs on the host and made it. What was there
// before is not in it, and so is not taken back.
type Journal struct {
	path    string
	content journalFile
}

type journalFile struct {
	Version int      `json:"version"`
	Steps   []string `json:"created_by"`
}

const journalVersion = 1

// OpenJournal reads the journal at path; no file is an empty journal.
func OpenJournal(l host.Looker, path string) (*Journal, error) {
	j := &Journal{path, journalFile{Version: journalVersion}}
	f, err := l.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	j.content = journalFile{}
	if err == nil {
		err = json.Unmarshal(f.Content, &j.content)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	if j.content.Version != journalVersion {
		return nil, fmt.Errorf("reading the journal: %s has version %d; this regctl knows %d", path, j.content.Version, journalVersion)
	}
	return j, nil
}

// Created notes that a step is about to create something.
func (j *Journal) Created(m host.Machine, name string) error {
	if slices.Contains(j.content.Steps, name) {
		return nil
	}
	j.content.Steps = append(j.content.Steps, name)
	return j.write(m)
}

// Undo takes back what the steps in the journal created, the last first, and
// strikes each from the journal when that is done: it can be interrupted and
// repeated. Steps that cannot be undone are struck as well; what they leave is
// the caller's to tell.
func (j *Journal) Undo(do func(step.Undoer) error, m host.Machine, steps []step.Step) error {
	for _, name := range slices.Backward(slices.Clone(j.content.Steps)) {
		i := slices.IndexFunc(steps, func(s step.Step) bool { return s.Name() == name })
		if i >= 0 {
			if u, ok := steps[i].(step.Undoer); ok {
				if err := do(u); err != nil {
					return &StepError{name, err}
				}
			}
		}
		j.content.Steps = slices.DeleteFunc(j.content.Steps, func(s string) bool { return s == name })
		if err := j.write(m); err != nil {
			return err
		}
	}
	_, err := m.Remove(j.path)
	return err
}

// Steps are the names in the journal, in the order of their creation.
func (j *Journal) Steps() []string { return slices.Clone(j.content.Steps) }

func (j *Journal) write(m host.Machine) error {
	text, err := json.MarshalIndent(j.content, "", "  ")
	if err != nil {
		return err
	}
	if _, err := m.WriteFile(j.path, host.File{Content: append(text, '\n'), Mode: 0o644}); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}
