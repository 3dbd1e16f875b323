package certs

import (
	"context"
	"fmt"
	"math/big"

	"regctl/provision/host"
	"regctl/provision/step"
)

// Reload has the running edge read its files again. It is nothing, and no
// error, if none is running.
type Reload func(context.Context, host.Machine) error

type ownDH struct {
	file, state string
	bits        int
	reload      Reload
}

// NewOwnDH replaces the group of RFC 7919 in file by one that only this host
// has, of the given bits; 0 keeps an own group of any size, and makes one of
// 4096. That takes minutes; [step.Report] tells how it is getting on. stateFile
// (mode 0600) keeps the progress, so that an interrupted Apply goes on where it
// was, and the group once found, until reload has succeeded.
func NewOwnDH(file, stateFile string, bits int, reload Reload) step.Step {
	return ownDH{file, stateFile, bits, reload}
}

func (ownDH) Name() string { return "own-dhparams" }

func (s ownDH) Check(_ context.Context, l host.Looker) (step.Change, error) {
	// The state is there until all is done: see [RenewDH].
	unfinished, err := readIfThere(l, s.state)
	if err != nil {
		return step.Change{}, err
	}
	if unfinished != nil {
		return step.Create.Because("an own group of %d bits is unfinished in %s", s.size(), s.state), nil
	}
	file, err := readIfThere(l, s.file)
	if err != nil {
		return step.Change{}, err
	}
	if file == nil {
		return step.Create.Because("no file %s", s.file), nil
	}
	group, err := ParseDH(file.Content)
	switch {
	case err != nil:
		return step.Update.Because("%s %v", s.file, err), nil
	case group.WellKnown():
		return step.Create.Because("%s has the group ffdhe%d of RFC 7919, not one of its own", s.file, group.P.BitLen()), nil
	case s.bits != 0 && group.P.BitLen() != s.bits:
		return step.Update.Because("the own group has %d bits, not %d", group.P.BitLen(), s.bits), nil
	}
	return step.Keep.Because("%s has an own group of %d bits", s.file, group.P.BitLen()), nil
}

func (s ownDH) size() int { return DHMode{Bits: s.bits}.Size() }

func (s ownDH) Apply(ctx context.Context, m host.Machine) error {
	return RenewDH(ctx, m, s.file, s.state, s.size(), s.reload)
}

// RenewDH searches a group of this host's own with the given bits, writes it to
// file and has it loaded, whatever group was there. It goes on from the state
// in stateFile if that is of the same size, and reports through [step.Report].
//
// The state outlives everything else: a group that was found is saved before
// it is written, and forgotten after it is loaded, so an interruption anywhere
// repeats only cheap things.
func RenewDH(ctx context.Context, m host.Machine, file, stateFile string, bits int, reload Reload) error {
	group, err := findDH(ctx, m, stateFile, bits)
	if err != nil {
		return fmt.Errorf("searching an own group of %d bits: %w", bits, err)
	}
	if err := writeGroup(m, file, group); err != nil {
		return err
	}
	if err := reload(ctx, m); err != nil {
		return err
	}
	_, err = m.Remove(stateFile)
	return err
}

// findDH is the group that the state file has, or the search finds.
func findDH(ctx context.Context, m host.Machine, stateFile string, bits int) (*DHParams, error) {
	file, err := readIfThere(m, stateFile)
	if err != nil {
		return nil, err
	}
	var state *SearchState
	if file != nil {
		state = parseState(file.Content, bits)
	}
	if state != nil && state.Found != nil {
		group := &DHParams{P: state.Found, G: big.NewInt(2)}
		if group.checkSafe() == nil {
			return group, nil
		}
		state = nil // damaged
	}
	return Search(ctx, SearchOptions{
		Bits: bits, Resume: state,
		Save: func(s SearchState) error {
			_, err := m.WriteFile(stateFile, host.File{Content: s.encode(), Mode: 0o600})
			return err
		},
		Report: func(p SearchProgress) { step.Report(ctx, p.asStep()) },
	})
}

// asStep shows the chance to be done by now: a share of the way there is not.
func (p SearchProgress) asStep() step.Progress {
	return step.Progress{Text: p.String(), Done: int64(1000 * p.Chance()), Total: 1000}
}
