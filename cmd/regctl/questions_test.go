package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/host"
)

// newQuestionsCmd is an init that only gets its settings together. It prints the
// equivalent command and the settings.
func newQuestionsCmd(e *env, look host.Looker) *cobra.Command {
	q := newQuestions(look)
	var yes bool
	cmd := &cobra.Command{Use: "init", Args: wantArgs(), SilenceErrors: true, SilenceUsage: true}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asking := e.canAsk() && !yes
		base, err := q.base()
		if err != nil {
			return err
		}
		c, err := q.config(cmd, base, asking)
		if err == nil && asking {
			err = q.ask(cmd.Context(), e, cmd, &c)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s\n%s", q.command(c), c.Encode())
		return nil
	}
	q.addFlags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "ask nothing")
	return cmd
}

// questionsMain runs it as a program of its own.
func questionsMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	e := systemEnv()
	os.Exit(e.report(newQuestionsCmd(e, host.Local{}.Looker()).ExecuteContext(ctx)))
}

// settings runs it without a terminal, and returns the command and the settings
// that it prints, or what it says.
func settings(t *testing.T, args ...string) (command, config, errs string, code int) {
	t.Helper()
	var out, messages bytes.Buffer
	e := &env{stdin: &bytes.Buffer{}, stdout: &out, stderr: &messages}
	cmd := newQuestionsCmd(e, host.Local{}.Looker())
	cmd.SetArgs(args)
	code = e.report(cmd.ExecuteContext(t.Context()))
	command, config, _ = strings.Cut(out.String(), "\n")
	return command, config, messages.String(), code
}

// settingKeys are the keys of all settings below s.
func settingKeys(s *jsonschema.Schema, prefix string) (keys []string) {
	if s.Properties == nil {
		return []string{prefix}
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		keys = append(keys, settingKeys(p.Value, strings.TrimPrefix(prefix+"."+p.Key, "."))...)
	}
	return keys
}

// TestQuestionTable: each setting is in the table once, has help and explained
// choices, and at most six are asked.
func TestQuestionTable(t *testing.T) {
	t.Parallel()
	var keys, flags, asked []string
	for _, one := range questionTable() {
		keys, flags = append(keys, one.key), append(flags, one.flag)
		s := provision.Setting(one.key)
		if s == nil || s.Description == "" {
			t.Fatalf("%s has no description", one.key)
		}
		choices := provision.Choices(one.key)
		if (one.value == "") != (choices != nil || one.isBool()) {
			t.Errorf("%s: value %q, choices %q", one.key, one.value, choices)
		}
		if one.title != "" {
			asked = append(asked, one.key)
			for _, choice := range choices {
				if one.says[choice] == "" {
					t.Errorf("%s: nothing explains %s", one.key, choice)
				}
			}
		}
		for choice := range one.says {
			if !slices.Contains(choices, choice) {
				t.Errorf("%s: there is no %s", one.key, choice)
			}
		}
	}
	want := slices.DeleteFunc(settingKeys(provision.ConfigSchema(), ""), func(key string) bool { return key == "version" })
	slices.Sort(want)
	slices.Sort(keys)
	if !slices.Equal(keys, want) {
		t.Errorf("the table has\n%q, the schema\n%q", keys, want)
	}
	slices.Sort(flags)
	if len(slices.Compact(flags)) != len(keys) {
		t.Errorf("flags %q", flags)
	}
	if want := []string{"host", "tls.mode", "email", "firewall.backend", "store", "admin.name"}; !slices.Equal(asked, want) {
		t.Errorf("asked are %q", asked)
	}
}

// TestQuestionFlagsLeaveRoom: init has flags of its own beside those of settings.
func TestQuestionFlagsLeaveRoom(t *testing.T) {
	t.Parallel()
	cmd := newQuestionsCmd(&env{}, nil)
	for _, own := range []string{"help", "dry-run", "skip", "only", "ignore-preflight", "accept-risk", "output", "socket"} {
		if cmd.Flags().Lookup(own) != nil {
			t.Errorf("--%s is a setting", own)
		}
	}
}

func TestQuestionFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	least := []string{"--host", "registry.test", "--tls", "local"}
	for _, test := range []struct {
		args    []string
		command string // after --dir DIR
		config  string
	}{
		{least, " --host registry.test --tls local", "version: 1\nhost: registry.test\ntls:\n  mode: local\n"},
		{[]string{"--host", "Registry.Test.", "--tls", "local", "--email", " me@example.com"},
			" --host registry.test --tls local --email me@example.com",
			"version: 1\nhost: registry.test\nemail: me@example.com\ntls:\n  mode: local\n"},
		{append(least, "--hsts=false", "--mongo-ui", "--store", "mongo", "--http-port", "8080", "--admin", "it's me"),
			` --host registry.test --tls local --hsts=false --http-port 8080 --store mongo --mongo-ui=true --admin 'it'\''s me'`,
			"version: 1\nhost: registry.test\ntls:\n  mode: local\n  hsts: false\nedge:\n  http_port: 8080\nstore: mongo\nmongo:\n  ui: true\nadmin:\n  name: it's me\n"},
		{append(least, "--images", "nginx=n:1,registry=r:2"),
			" --host registry.test --tls local --images nginx=n:1,registry=r:2",
			"version: 1\nhost: registry.test\ntls:\n  mode: local\nimages:\n  nginx: n:1\n  registry: r:2\n"},
		{append(least, "--images", "builtin", "--dhparams", "/etc//dh.pem"),
			" --host registry.test --tls local --dhparams /etc/dh.pem --images builtin",
			"version: 1\nhost: registry.test\ntls:\n  mode: local\n  dhparams: /etc/dh.pem\nimages: builtin\n"},
		{[]string{"--host", "registry.test", "--tls", "files", "--tls-cert", "/a/../c.pem", "--tls-key", "/c.key"},
			" --host registry.test --tls files --tls-cert /c.pem --tls-key /c.key",
			"version: 1\nhost: registry.test\ntls:\n  mode: files\n  cert: /c.pem\n  key: /c.key\n"},
	} {
		command, config, errs, code := settings(t, append(test.args, "--dir", dir)...)
		if want := "regctl init --dir " + dir + test.command; code != 0 || command != want || config != test.config {
			t.Errorf("%q: exit %d\n%s%s\n%s\nwant\n%s\n%s", test.args, code, errs, command, config, want, test.config)
		}
		if _, again, errs, _ := settings(t, shellWords(t, command)[2:]...); again != config {
			t.Errorf("%s:\n%s%s\nwant\n%s", command, errs, again, config)
		}
	}
}

// shellWords has a shell read a command.
func shellWords(t *testing.T, command string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+command).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestShellQuote(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"", "a", "a b", "it's", `$HOME "x" \ !`, "*", "~", "a=b", "#", "ü", "'"} {
		if got := shellWords(t, shellQuote(word)); !slices.Equal(got, []string{word}) {
			t.Errorf("%q is quoted as %s, which is %q", word, shellQuote(word), got)
		}
	}
}

// TestQuestionRefusals: without a terminal all that is missing and wrong is said
// at once, and the exit code is 2.
func TestQuestionRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := write("files.yaml", "version: 1\nhost: registry\ntls:\n  mode: files\n  cert: c.pem\n")
	broken := write("broken.yaml", "version: 1\nhots: x\nstore: [x]\n")
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "error: missing --host and --tls\nhint: see init --help"},
		{[]string{"--tls", "files"}, "error: missing --host and --tls-cert and --tls-key\nhint: see init --help"},
		{[]string{"--tls", "acme", "--host", "registry.example.com"},
			"error: missing --email\nerror: --tls: acme is not built yet: use local or files\nhint: see init --help"},
		{[]string{"--host", "https://x.test", "--email", "me", "--http-port", "0", "--https-port", "x", "--hsts=maybe", "--images", "other", "--store", "x", "--tls", "local", "--tls-cert", "c.pem"},
			"error: --hsts: \"maybe\": want true or false\n" +
				"error: --http-port: \"0\" is no port: want a number from 1 to 65535\n" +
				"error: --https-port: \"x\" is no port: want a number from 1 to 65535\n" +
				"error: --images: \"other\": want default, builtin or nginx=REF,registry=REF\n" +
				"error: --host: \"https://x.test\" is a URL: give the host name alone, without https://\n" +
				"error: --email: \"me\" is no e-mail address: want one like admin@example.com, without a name\n" +
				"error: --tls-cert: is only for tls.mode files: leave it out, or choose that mode\n" +
				"error: --store: \"x\": want sqlite or mongo\nhint: see init --help"},
		{[]string{"--config", files},
			"error: missing --tls-key\n" +
				"error: host (--host): \"registry\" has no dot: only tls.mode local makes certificates for such names\n" +
				"error: tls.cert (--tls-cert): \"c.pem\": want an absolute path, without .. and doubled slashes\nhint: see init --help"},
		{[]string{"--config", broken}, "error: " + broken + ": line 2: unknown key hots\nerror: " + broken + ": line 3: want a text"},
		{[]string{"--config", dir + "/none"}, "error: --config: reading the settings: open " + dir + "/none: no such file or directory"},
		{[]string{"--dir", "/srv/a b"}, "error: --dir: \"/srv/a b\": want only letters, digits and / . _ - + @ in it"},
	} {
		args := test.args
		if !slices.Contains(args, "--dir") {
			args = append(args, "--dir", filepath.Join(dir, "new"))
		}
		command, _, errs, code := settings(t, args...)
		want := "regctl: " + strings.ReplaceAll(test.want, "\n", "\nregctl: ") + "\n"
		if code != codeUsage || command != "" || errs != want {
			t.Errorf("%q: exit %d %s\n%s\nwant\n%s", test.args, code, command, errs, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("the directory was made")
	}
}

// TestQuestionsKeepWhatIsSaved: a setting that no flag mentions stays, except the
// files of a certificate that the new mode does not use.
func TestQuestionsKeepWhatIsSaved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	saved := "version: 1\nhost: registry.test\ntls:\n  mode: files\n  cert: /c.pem\n  key: /c.key\n  hsts: false\nedge:\n  https_port: 5000\nstore: mongo\n"
	if err := os.WriteFile(filepath.Join(dir, "regctl.yaml"), []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, config, errs, _ := settings(t, "--dir", dir); config != saved {
		t.Errorf("without flags:\n%s%s", errs, config)
	}
	command, config, errs, _ := settings(t, "--dir", dir, "--tls", "local", "--store", "sqlite", "--https-port", "443")
	if want := "version: 1\nhost: registry.test\ntls:\n  mode: local\n  hsts: false\nedge:\n  https_port: 443\nstore: sqlite\n"; config != want {
		t.Errorf("with flags:\n%s%s\nwant\n%s", errs, config, want)
	}
	// On this host the saved settings are below: what is back to the default is said too.
	if want := "regctl init --dir " + dir + " --host registry.test --tls local --tls-cert '' --tls-key '' --hsts=false --https-port 443 --store sqlite"; command != want {
		t.Errorf("%s\nwant\n%s", command, want)
	}
	if _, again, errs, _ := settings(t, shellWords(t, command)[2:]...); again != config {
		t.Errorf("the command gives\n%s%s", errs, again)
	}
	_, _, errs, code := settings(t, "--dir", dir, "--tls", "local", "--tls-cert", "/new.pem")
	if code != codeUsage || errs != "regctl: error: --tls-cert: is only for tls.mode files: leave it out, or choose that mode\nregctl: hint: see init --help\n" {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestConfigDiff(t *testing.T) {
	t.Parallel()
	parse := func(text string) provision.Config {
		c, err := provision.ParseConfig([]byte("version: 1\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse("host: a.test\ntls: {mode: local}")
	for text, want := range map[string][]string{
		"host: a.test\ntls: {mode: local}": nil,
		"host: a.test\nname: regctl\nstore: sqlite\nedge: {https_port: 443}\ntls: {mode: local, hsts: true}": nil,
		"host: b.test\ntls: {mode: files, cert: /c, key: /k, hsts: false, profile: modern}\nstore: mongo\nimages: builtin\nadmin: {name: root}": {
			"host: a.test → b.test (clients use the new name and log in again; images are pulled under it)",
			"tls.mode: local → files (clients need this host's CA no longer)",
			"tls.cert: (none) → /c",
			"tls.key: (none) → /k",
			"tls.profile: intermediate → modern (clients without TLS 1.3 are turned away)",
			"tls.hsts: true → false (browsers that have been here keep to https until two years are over)",
			"store: sqlite → mongo (users and rules are not carried over)",
			"images: default → builtin",
			"admin.name: admin → root (an account that exists stays as it is)",
		},
	} {
		if got := configDiff(old, parse(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%q\nwant\n%q", text, got, want)
		}
	}
	back := configDiff(parse("host: a.test\ntls: {mode: files, profile: modern, hsts: false}"), old)
	if want := []string{
		"tls.mode: files → local (clients that do not trust this host's CA are locked out: regctl ca)",
		"tls.profile: modern → intermediate",
		"tls.hsts: false → true (browsers that have been here refuse plain http to this name for two years)",
	}; !reflect.DeepEqual(back, want) {
		t.Errorf("%q\nwant\n%q", back, want)
	}
}
