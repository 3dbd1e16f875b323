package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"charm.land/bubbles/v2/key"
	"charm.land/huh/v2"
	"github.com/spf13/cobra"

	"regctl/provision"
)

// canAsk says whether there is a person at a terminal that can show the wizard.
func (e *env) canAsk() bool { return e.interactive && os.Getenv("TERM") != "dumb" }

// open are the questions that neither flags nor the file of --config answer.
func (q *questions) open(base provision.Config) (open []*question) {
	for _, one := range q.table {
		answered := q.given[one.key].given || q.file != "" && one.get(base) != ""
		if one.title != "" && !answered {
			open = append(open, one)
		}
	}
	return open
}

// ask asks a person what flags and file have not said, and puts the answers into
// c. What is in c already is the proposal.
func (q *questions) ask(ctx context.Context, e *env, cmd *cobra.Command, c *provision.Config) error {
	w := &wizard{questions: q, open: q.open(*c), c: *c}
	if len(w.open) == 0 {
		return nil
	}
	tty, err := e.openTerminal()
	if err != nil {
		return fmt.Errorf("opening the terminal: %w", err)
	}
	defer tty.Close()
	keys, err := newKeyboard(tty)
	if err != nil {
		return fmt.Errorf("preparing the terminal: %w", err)
	}
	fmt.Fprint(tty, "Enter takes what is proposed, Esc leaves; nothing is changed before you confirm.\n")
	err = w.form(ctx).WithInput(keys).WithOutput(tty).RunWithContext(ctx)
	if failed := keys.stop(); err == nil && failed != nil {
		err = failed
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, huh.ErrUserAborted):
		return &failure{codeInterrupted, "interrupted: nothing was changed", ""}
	case err != nil:
		return fmt.Errorf("asking: %w", err)
	}
	if wrong := q.refuse(w.c, nil); len(wrong) > 0 {
		return &refusal{wrong, seeHelp(cmd)}
	}
	*c = w.c
	return nil
}

// wizard asks the open questions one after the other.
type wizard struct {
	*questions
	open    []*question
	c       provision.Config // with the answers so far
	texts   []string         // what stands in the fields
	offered []string         // what was proposed there
	inputs  []*huh.Input     // nil where there is a choice
}

func (w *wizard) form(ctx context.Context) *huh.Form {
	n := len(w.open)
	w.texts, w.offered, w.inputs = make([]string, n), make([]string, n), make([]*huh.Input, n)
	pages := make([]*huh.Group, n)
	for i, one := range w.open {
		w.offered[i] = w.propose(ctx, one)
		w.texts[i] = w.offered[i]
		title := fmt.Sprintf("%s (%d of %d)", one.title, i+1, n)
		answer := func(text string) error { return w.answer(ctx, i, text) }
		if provision.Choices(one.key) != nil {
			pages[i] = huh.NewGroup(huh.NewSelect[string]().Title(title).Description(one.note).Options(w.options(one)...).Value(&w.texts[i]).Validate(answer))
			continue
		}
		w.inputs[i] = huh.NewInput().Title(title).Description(one.note).Value(&w.texts[i]).Validate(answer)
		pages[i] = huh.NewGroup(w.inputs[i])
	}
	keys := huh.NewDefaultKeyMap()
	keys.Quit = key.NewBinding(key.WithKeys("ctrl+c", "esc"))
	keys.Select.Filter.SetEnabled(false) // esc would end the filter, not the wizard
	// WithAccessible: NewForm looks at TERM; see canAsk.
	return huh.NewForm(pages...).WithAccessible(false).WithKeyMap(keys).WithTheme(huh.ThemeFunc(huh.ThemeBase16))
}

// propose is the answer that Enter gives.
func (w *wizard) propose(ctx context.Context, one *question) string {
	if value := one.get(w.c); value != "" {
		return value
	}
	if one.guess != nil {
		return one.guess(ctx, w.look, w.c)
	}
	return one.get(w.c.WithDefaults())
}

// options are the choices that can be taken.
func (w *wizard) options(one *question) (options []huh.Option[string]) {
	for _, choice := range provision.Choices(one.key) {
		c := w.c
		if one.set(&c, choice) == nil && !slices.ContainsFunc(c.Refused(), func(p provision.Problem) bool { return p.Key == one.key }) {
			options = append(options, huh.NewOption(choice+": "+one.says[choice], choice))
		}
	}
	return options
}

// answer takes the answer to question i, or says why it cannot be. Proposals for
// later questions that depend on it are made anew, unless they were edited.
func (w *wizard) answer(ctx context.Context, i int, text string) error {
	c := w.c
	if err := w.open[i].set(&c, text); err != nil {
		return err
	}
	if w.open[i].key == "tls.mode" {
		w.dropCertificate(&c)
	}
	for _, p := range slices.Concat(c.Problems(), c.Refused()) {
		switch at := slices.Index(w.open, w.about(p)); {
		case p.Key == w.open[i].key:
			return errors.New(p.Text)
		case at < i: // it was asked before, or is not asked
			return errors.New(w.describe(p))
		}
	}
	w.c = c
	for later := i + 1; later < len(w.open); later++ {
		if w.inputs[later] == nil || w.texts[later] != w.offered[later] {
			continue
		}
		w.offered[later] = w.propose(ctx, w.open[later])
		w.texts[later] = w.offered[later]
		w.inputs[later].Value(&w.texts[later])
	}
	return nil
}
