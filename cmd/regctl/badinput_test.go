package main

import (
	"reflect"
	"strings"
	"testing"

	"regctl/stack/auth"
)

// TestBadInput: each of these exits with 2, says exactly this, and leaves the
// store as it was, in memory and on disk.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	add := func(args ...string) {
		t.Helper()
		if r := s.regctl(t, "secret", args...); r.code != 0 {
			t.Fatalf("%q: exit %d, %s", args, r.code, r.stderr)
		}
	}
	add("user", "add", "waldi", "--password-stdin", "--label", "full-access=test")
	add("token", "create", "waldi", "--name", "ci")
	before := s.State()

	const dates = "give a date (2027-01-31) or a time with zone (2027-01-31T12:00Z, 2027-01-31T12:00:00+01:00) or a duration from now (72h, 90d, 2w or 1d12h)"
	userAdd := []string{"user", "add", "new", "--password-stdin"}
	aclAdd := []string{"acl", "add", "--match", "name=x", "--actions", "pull"}
	tokenCreate := []string{"token", "create", "waldi", "--name", "x"}
	for _, test := range []struct {
		args   []string
		more   []string
		stdin  string
		stderr string
	}{
		// commands, arguments and flags
		{args: []string{"frobnicate"}, stderr: "error: unknown command \"frobnicate\" for \"regctl\"\nhint: see regctl --help"},
		{args: []string{"user", "ad"}, stderr: "error: unknown command \"ad\" for \"regctl user\"\nhint: did you mean: regctl user add"},
		{args: []string{"user", "show"}, stderr: "error: missing argument: USER\nhint: usage: regctl user show USER [flags]"},
		{args: []string{"user", "show", "a", "b"}, stderr: "error: unexpected argument \"b\"\nhint: usage: regctl user show USER [flags]"},
		{args: []string{"acl", "test"}, stderr: "error: missing argument: USER REPO ACTION[,ACTION]\nhint: usage: regctl acl test USER REPO ACTION[,ACTION] [flags]"},
		{args: []string{"user", "list", "--bogus"}, stderr: "error: unknown flag: --bogus\nhint: see regctl user list --help"},
		{args: []string{"user", "list", "--output", "xml"}, stderr: "error: invalid argument \"xml\" for \"-o, --output\" flag: want table or json\nhint: see regctl user list --help"},
		{args: []string{"completion", "tcsh", "--help=no"}, stderr: "error: invalid argument \"no\" for \"-h, --help\" flag: strconv.ParseBool: parsing \"no\": invalid syntax\nhint: see regctl completion --help"},
		{args: []string{"audit", "--limit", "0"}, stderr: "error: --limit 0: want 1 or more"},
		{args: []string{"audit", "--limit", "10001"}, stderr: "error: limit 10001: want a number from 1 to 10000"},
		{args: []string{"audit", "--since", "yesterday"}, stderr: "error: --since: \"yesterday\" is not a date: " + dates},

		// user names
		{args: []string{"user", "add", "", "--password-stdin"}, stdin: "pw", stderr: "error: user name is empty"},
		{args: []string{"user", "add", "a:b", "--password-stdin"}, stdin: "pw", stderr: "error: user name \"a:b\": a colon ends the user name in a login (RFC 7617)"},
		{args: []string{"user", "add", " a", "--password-stdin"}, stdin: "pw", stderr: "error: user name \" a\": begins or ends with a space"},
		{args: []string{"user", "add", "a\nb", "--password-stdin"}, stdin: "pw", stderr: "error: user name \"a\\nb\": only printable characters are allowed"},
		{args: []string{"user", "add", "a\xffb", "--password-stdin"}, stdin: "pw", stderr: "error: user name \"a\ufffdb\": only printable characters are allowed"},
		{args: []string{"user", "add", strings.Repeat("a", 129), "--password-stdin"}, stdin: "pw", stderr: "error: user name is longer than 128 bytes"},

		// passwords
		{args: []string{"user", "add", "new"}, stderr: "error: no terminal to ask for the password: give --password-stdin, --password-hash-stdin or --generate"},
		{args: userAdd, stdin: "", stderr: "error: password is blank"},
		{args: userAdd, stdin: " \t \n", stderr: "error: password is blank"},
		{args: userAdd, stdin: "one\ntwo\n", stderr: "error: --password-stdin: standard input has more than one line"},
		{args: userAdd, stdin: strings.Repeat("x", 5000), stderr: "error: --password-stdin: standard input is longer than 4096 bytes"},
		{args: userAdd, stdin: strings.Repeat("x", 73), stderr: "error: password is longer than 72 bytes: bcrypt would ignore the rest"},
		{args: userAdd, stdin: "a\x00b", stderr: "error: password contains a control character or is not UTF-8: a login cannot carry it (RFC 7617)"},
		{args: userAdd, stdin: "a\xffb", stderr: "error: password contains a control character or is not UTF-8: a login cannot carry it (RFC 7617)"},
		{args: userAdd, more: []string{"--generate"}, stderr: "error: --password-stdin and --generate exclude each other"},
		{args: []string{"user", "passwd", "waldi"}, stderr: "error: no terminal to ask for the password: give --password-stdin, --password-hash-stdin or --generate"},
		{args: []string{"user", "passwd", "waldi", "--password-stdin"}, stdin: "\n", stderr: "error: password is blank"},
		{args: []string{"user", "passwd", "waldi", "--password-hash-stdin"}, stdin: "secret", stderr: "error: password hash is not a bcrypt hash ($2a$, $2b$ or $2y$)"},
		{args: []string{"user", "passwd", "waldi", "--password-hash-stdin"}, stdin: "", stderr: "error: --password-hash-stdin: the hash is empty"},
		{args: []string{"user", "passwd", "waldi", "--password-hash-stdin"}, stdin: "waldi:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", stderr: "error: password hash is not a bcrypt hash ($2a$, $2b$ or $2y$)"},
		{args: []string{"user", "passwd", "waldi", "--password-hash-stdin"}, stdin: "$2y$16$r8bUudvXL6vgBTdKeMnEq.kywO89T7EvmlB6er9L46NK4Ik9Z2ihK", stderr: "error: password hash has cost 16: each login would take seconds (at most 15)"},

		// labels
		{args: userAdd, more: []string{"--label", "admin"}, stdin: "pw", stderr: "error: --label \"admin\": want KEY=VALUE"},
		{args: userAdd, more: []string{"--label", "=x"}, stdin: "pw", stderr: "error: label \"\": a key consists of letters, digits, and . _ -"},
		{args: userAdd, more: []string{"--label", "full access=x"}, stdin: "pw", stderr: "error: label \"full access\": a key consists of letters, digits, and . _ -"},
		{args: userAdd, more: []string{"--label", "a="}, stdin: "pw", stderr: "error: label a=: the value is empty"},
		{args: userAdd, more: []string{"--label", "a=[x"}, stdin: "pw", stderr: "error: label a=[x: invalid glob pattern: syntax error in pattern"},
		{args: userAdd, more: []string{"--label", "a=/(/"}, stdin: "pw", stderr: "error: label a=/(/: invalid regex pattern: error parsing regexp: missing closing ): `(`"},
		{args: userAdd, more: []string{"--label", "a=" + strings.Repeat("x", 257)}, stdin: "pw", stderr: "error: label a=" + strings.Repeat("x", 257) + ": the value is longer than 256 bytes"},
		{args: []string{"user", "set", "waldi", "--add-label", "x"}, stderr: "error: --add-label \"x\": want KEY=VALUE"},
		{args: []string{"user", "set", "waldi", "--add-label", "a=[x"}, stderr: "error: label a=[x: invalid glob pattern: syntax error in pattern"},
		{args: []string{"user", "set", "waldi", "--remove-label", "a", "--remove-label", "a=b"}, stderr: "error: --remove-label: both a and values of it"},
		{args: []string{"user", "set", "waldi", "--clear", "password"}, stderr: "error: clear \"password\": want labels, comment, expires or not_before"},
		{args: []string{"user", "set", "waldi", "--comment", "a\x1b[2J"}, stderr: "error: comment: only printable characters are allowed"},

		// dates
		{args: userAdd, more: []string{"--expires", "tomorrow"}, stdin: "pw", stderr: "error: --expires: \"tomorrow\" is not a date: " + dates},
		{args: userAdd, more: []string{"--expires", "2027-02-29"}, stdin: "pw", stderr: "error: --expires: \"2027-02-29\" has its day out of range: " + dates},
		{args: userAdd, more: []string{"--expires", "2027-01-31T12:00"}, stdin: "pw", stderr: "error: --expires: \"2027-01-31T12:00\" has no zone (add Z for UTC or an offset such as +01:00): " + dates},
		{args: userAdd, more: []string{"--expires", "2001-01-01"}, stdin: "pw", stderr: "error: expires 2001-01-02T00:00:00Z: has passed already"},
		{args: userAdd, more: []string{"--expires", "-1h"}, stdin: "pw", stderr: "error: --expires: duration \"-1h\" is shorter than a second: give 72h, 90d, 2w or 1d12h"},
		{args: userAdd, more: []string{"--not-before", "soon"}, stdin: "pw", stderr: "error: --not-before: \"soon\" is not a date: " + dates},
		{args: userAdd, more: []string{"--not-before", "2099-01-02", "--expires", "2099-01-01"}, stdin: "pw", stderr: "error: not_before 2099-01-02T00:00:00Z: is not before expires 2099-01-02T00:00:00Z"},
		{args: []string{"user", "set", "waldi", "--expires", "2001-01-01"}, stderr: "error: expires 2001-01-02T00:00:00Z: has passed already"},

		// rules
		{args: []string{"acl", "add"}, stderr: "error: missing --match (or --match-all) and --actions (or --deny)\nhint: see regctl acl add --help"},
		{args: []string{"acl", "add", "--actions", "*"}, stderr: "error: missing --match (or --match-all)\nhint: see regctl acl add --help"},
		{args: []string{"acl", "add", "--match", "name=x"}, stderr: "error: missing --actions (or --deny)\nhint: see regctl acl add --help"},
		{args: aclAdd, more: []string{"--match-all"}, stderr: "error: --match and --match-all exclude each other"},
		{args: aclAdd, more: []string{"--deny"}, stderr: "error: --actions and --deny exclude each other"},
		{args: []string{"acl", "add", "--match", "name=x", "--actions", ""}, stderr: "error: --actions is empty\nhint: to deny, say --deny"},
		{args: []string{"acl", "add", "--match", "name=x", "--actions", "PULL"}, stderr: "error: action \"PULL\": want a word such as pull, push, delete, or *"},
		{args: []string{"acl", "add", "--match", "name=x", "--actions", "pull,,push"}, stderr: "error: action \"\": want a word such as pull, push, delete, or *"},
		{args: []string{"acl", "add", "--match", "name=x", "--actions", "pull,*"}, stderr: "error: actions pull,*: * stands for all actions only when it is alone"},
		{args: aclAdd, more: []string{"--match", "team=x"}, stderr: "error: --match \"team=x\": unknown key \"team\": want account, type, name, service, ip or label.KEY"},
		{args: aclAdd, more: []string{"--match", "account"}, stderr: "error: --match \"account\": want KEY=PATTERN"},
		{args: aclAdd, more: []string{"--match", "name=y"}, stderr: "error: --match \"name=y\": name is given twice, and a rule has one pattern for it"},
		{args: aclAdd, more: []string{"--match", "label.=y"}, stderr: "error: --match \"label.=y\": the label has no name"},
		{args: aclAdd, more: []string{"--seq", "25", "--match", "account=[x"}, stderr: "error: rule 25: invalid match conditions: invalid pattern \"[x\": invalid glob pattern: syntax error in pattern"},
		{args: aclAdd, more: []string{"--seq", "25", "--match", "ip=10.0.0.0/40"}, stderr: "error: rule 25: invalid match conditions: invalid IP pattern: invalid CIDR address: 10.0.0.0/40"},
		{args: aclAdd, more: []string{"--seq", "-1"}, stderr: "error: seq -1: want a number from 0 to 1000000000; only a rule that expires may come before all others"},
		{args: aclAdd, more: []string{"--seq", "x"}, stderr: "error: invalid argument \"x\" for \"--seq\" flag: strconv.ParseInt: parsing \"x\": invalid syntax\nhint: see regctl acl add --help"},
		{args: aclAdd, more: []string{"--expires", "2001-01-01"}, stderr: "error: expires 2001-01-02T00:00:00Z: has passed already"},
		{args: []string{"acl", "set", "10", "--match", "name=[x"}, stderr: "error: rule 10: invalid match conditions: invalid pattern \"[x\": invalid glob pattern: syntax error in pattern"},
		{args: []string{"acl", "set", "10"}, stderr: "error: nothing to change\nhint: see regctl acl set --help"},
		{args: []string{"acl", "set", "ten", "--deny"}, stderr: "error: \"ten\" is not the number of a rule\nhint: list the rules: regctl acl list"},
		{args: []string{"acl", "move", "10", "x"}, stderr: "error: \"x\" is not the number of a rule\nhint: list the rules: regctl acl list"},
		{args: []string{"acl", "test", "waldi", "", "pull"}, stderr: "error: the name of the repository is empty"},
		{args: []string{"acl", "test", "waldi", "test", "pull,"}, stderr: "error: an action is empty: want a word such as pull, push, delete, or *"},
		{args: []string{"acl", "test", "waldi", "test", "pull", "--ip", "10.0.0"}, stderr: "error: ip \"10.0.0\": want an IPv4 or IPv6 address"},

		// tokens
		{args: []string{"token", "create", "waldi"}, stderr: "error: missing --name\nhint: see regctl token create --help"},
		{args: []string{"token", "create", "waldi", "--name", ""}, stderr: "error: token name is empty"},
		{args: tokenCreate, more: []string{"--scope", "prod"}, stderr: `error: scope "prod": invalid scope: "prod" (want type:name-pattern:actions, for example repository:prod/*:pull)`},
		{args: tokenCreate, more: []string{"--scope", "repository:[x:pull"}, stderr: `error: scope "repository:[x:pull": invalid match conditions: invalid pattern "[x": invalid glob pattern: syntax error in pattern`},
		{args: tokenCreate, more: []string{"--scope", "repository:prod/*:"}, stderr: `error: scope "repository:prod/*:": action "": want a word such as pull, push, delete, or *`},
		{args: tokenCreate, more: []string{"--scope", "repository::pull"}, stderr: `error: scope "repository::pull": the name is empty`},
		{args: tokenCreate, more: []string{"--expires", "1x"}, stderr: "error: --expires: \"1x\" is not a date: " + dates},
		{args: []string{"token", "revoke", "waldi"}, stderr: "error: missing argument: NAME\nhint: usage: regctl token revoke [USER [NAME]] [flags]"},
		{args: []string{"token", "revoke", "--all"}, stderr: "error: missing argument: USER\nhint: usage: regctl token revoke [USER [NAME]] [flags]"},
		{args: []string{"token", "revoke", "--all", "--id", "x"}, stderr: "error: --id and --all exclude each other"},
	} {
		args := append(append([]string{}, test.args...), test.more...)
		if args[0] == "frobnicate" || args[0] == "completion" {
			args = append(args, "--") // those have no --dir
		}
		want := "regctl: " + strings.ReplaceAll(test.stderr, "\n", "\nregctl: ") + "\n"
		r := s.regctl(t, test.stdin, args...)
		if r.code != codeUsage || r.stdout != "" || r.stderr != want {
			t.Errorf("%q: exit %d, stdout %q, stderr\n%swant\n%s", args, r.code, r.stdout, r.stderr, want)
		}
		if !reflect.DeepEqual(s.State(), before) {
			t.Fatalf("%q changed the state", args)
		}
	}
	stored, err := s.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range stored.Users {
		if name != "admin" && name != "waldi" {
			t.Errorf("user %q is in the store", name)
		}
	}
	if len(stored.Rules) != len(auth.DefaultRules()) || len(stored.Tokens) != 1 {
		t.Errorf("the store holds %d rules and %d tokens", len(stored.Rules), len(stored.Tokens))
	}
}
