package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

// questions gets the settings of an installation together: from its regctl.yaml
// or another file, from flags and from a person. In this order:
//
//	base, err := q.base()
//	c, err := q.config(cmd, base, asking)
//	if asking { err = q.ask(ctx, e, cmd, &c) }
type questions struct {
	look  host.Looker
	table []*question
	given map[string]*flagValue // by key

	dir   string            // of the installation; absolute since base
	file  string            // --config
	saved *provision.Config // the regctl.yaml in dir; nil: there is none
}

func newQuestions(look host.Looker) *questions {
	return &questions{look: look, table: questionTable(), given: map[string]*flagValue{}}
}

// flagValue is a flag's text. Reading it is left for later, so that all that is
// wrong can be said at once.
type flagValue struct {
	text, kind string
	given      bool
}

func (v *flagValue) String() string { return v.text }
func (v *flagValue) Type() string   { return v.kind }

func (v *flagValue) Set(text string) error {
	v.text, v.given = text, true
	return nil
}

// addFlags adds a flag for each setting, --dir and --config.
func (q *questions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&q.dir, "dir", defaultDir, "directory of the installation; made if missing")
	must(cmd.MarkFlagDirname("dir"))
	flags.StringVar(&q.file, "config", "", "read the settings from this `FILE`; flags go before it")
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	defaults := provision.Config{}.WithDefaults()
	for _, one := range q.table {
		choices := provision.Choices(one.key)
		v := &flagValue{text: one.get(defaults), kind: one.value}
		if len(choices) > 0 {
			v.kind = strings.Join(choices, "|")
		}
		q.given[one.key] = v
		f := flags.VarPF(v, one.flag, "", provision.Setting(one.key).Description)
		switch {
		case one.isBool():
			v.kind, f.NoOptDefVal = "bool", "true"
		case one.file:
			must(cmd.MarkFlagFilename(one.flag))
		default:
			must(cmd.RegisterFlagCompletionFunc(one.flag,
				cobra.FixedCompletions(slices.Concat(choices, one.words), cobra.ShellCompDirectiveNoFileComp)))
		}
	}
}

// base reads what the flags build upon: the file of --config, else the saved
// settings, else nothing.
func (q *questions) base() (provision.Config, error) {
	q.dir = absolute(q.dir)
	if err := provision.CheckDir(q.dir); err != nil {
		return provision.Config{}, flagError("dir", err)
	}
	base := provision.Config{Version: provision.ConfigVersion}
	switch saved, err := readConfig(q.look, provision.Paths{Dir: q.dir}.Config()); {
	case err == nil:
		q.saved, base = &saved, saved
	case !errors.Is(err, fs.ErrNotExist):
		return provision.Config{}, err
	}
	if q.file == "" {
		return base, nil
	}
	c, err := readConfig(q.look, q.file)
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		return c, flagError("config", err)
	}
	return c, err
}

// readConfig reads a regctl.yaml.
func readConfig(look host.Looker, path string) (provision.Config, error) {
	f, err := look.ReadFile(absolute(path))
	if err != nil {
		return provision.Config{}, fmt.Errorf("reading the settings: %w", err)
	}
	c, err := provision.ParseConfig(f.Content)
	if err != nil {
		wrong := &refusal{}
		for line := range strings.Lines(err.Error()) {
			wrong.lines = append(wrong.lines, path+": "+strings.TrimSpace(line))
		}
		return provision.Config{}, wrong
	}
	return c, nil
}

// config puts the flags into base: settings that they do not mention stay as
// they are. Its error is everything that cannot work, except what a person is
// going to be asked, if there is one to ask.
func (q *questions) config(cmd *cobra.Command, base provision.Config, asking bool) (provision.Config, error) {
	c := base
	wrong := &refusal{hint: seeHelp(cmd)}
	for _, one := range q.table {
		if v := q.given[one.key]; v.given {
			if err := one.set(&c, v.text); err != nil {
				wrong.lines = append(wrong.lines, fmt.Sprintf("--%s: %v", one.flag, err))
			}
		}
	}
	if q.given["tls.mode"].given {
		q.dropCertificate(&c)
	}
	var open []*question
	if asking {
		open = q.open(base)
	}
	wrong.lines = append(wrong.lines, q.refuse(c, open)...)
	if len(wrong.lines) > 0 {
		return provision.Config{}, wrong
	}
	return c, nil
}

// dropCertificate takes the files of a certificate out that the chosen mode has
// no use for, except those of flags.
func (q *questions) dropCertificate(c *provision.Config) {
	if c.TLS.Mode == provision.TLSFiles {
		return
	}
	if !q.given["tls.cert"].given {
		c.TLS.Cert = ""
	}
	if !q.given["tls.key"].given {
		c.TLS.Key = ""
	}
}

// refuse says what cannot work in c, except what comes from the open questions.
func (q *questions) refuse(c provision.Config, open []*question) (lines []string) {
	var missing []string
	for _, p := range slices.Concat(c.Problems(), c.Refused()) {
		switch one := q.about(p); {
		case one != nil && slices.Contains(open, one):
		case slices.ContainsFunc(open, func(o *question) bool { return slices.Contains(o.covers, p.Key) }):
		case one != nil && p.Missing:
			missing = append(missing, "--"+one.flag)
		default:
			lines = append(lines, q.describe(p))
		}
	}
	if len(missing) > 0 {
		lines = append([]string{"missing " + strings.Join(missing, " and ")}, lines...)
	}
	return lines
}

// about finds the question whose answer is the problem.
func (q *questions) about(p provision.Problem) *question {
	for _, one := range q.table {
		if one.key == p.Key {
			return one
		}
	}
	return nil
}

// describe names a setting the way it was given, or both ways.
func (q *questions) describe(p provision.Problem) string {
	switch one := q.about(p); {
	case one == nil:
		return p.String()
	case q.given[p.Key].given:
		return fmt.Sprintf("--%s: %s", one.flag, p.Text)
	default:
		return fmt.Sprintf("%s (--%s): %s", p.Key, one.flag, p.Text)
	}
}

// command is the command line that gives the answers in c without questions.
// It leaves out what would be the same without it, on this host and a new one.
func (q *questions) command(c provision.Config) string {
	words := []string{"regctl", "init", "--dir", q.dir}
	full, defaults := c.WithDefaults(), provision.Config{}.WithDefaults()
	for _, one := range q.table {
		value, usual := one.get(full), one.get(defaults)
		switch {
		case value == usual && (q.saved == nil || one.get(q.saved.WithDefaults()) == usual):
		case one.isBool():
			words = append(words, "--"+one.flag+"="+value)
		default:
			words = append(words, "--"+one.flag, value)
		}
	}
	for i, word := range words {
		words[i] = shellQuote(word)
	}
	return strings.Join(words, " ")
}

// shellQuote returns a word for people to paste into a shell.
func shellQuote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
