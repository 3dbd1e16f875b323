package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What go test -json prints, shortened. Go 1.26 logs before its own line on
// the skip, and in a subtest with deeper indentation.
const events = `
{"Action":"start","Package":"regctl/certs"}
{"Action":"run","Package":"regctl/certs","Test":"TestA"}
{"Action":"output","Package":"regctl/certs","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"regctl/certs","Test":"TestA"}
{"Action":"output","Package":"regctl/certs","Test":"TestB","Output":"    b_test.go:7: trying\n"}
{"Action":"output","Package":"regctl/certs","Test":"TestB","Output":"    b_test.go:9: needs root\n"}
{"Action":"output","Package":"regctl/certs","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"regctl/certs","Test":"TestB"}
{"Action":"output","Package":"regctl/stack/auth","Test":"TestC/x","Output":"    --- SKIP: TestC/x (0.00s)\n"}
{"Action":"output","Package":"regctl/stack/auth","Test":"TestC/x","Output":"        c_test.go:3: needs root\n"}
{"Action":"skip","Package":"regctl/stack/auth","Test":"TestC/x"}
{"Action":"pass","Package":"regctl/stack/auth","Test":"TestC"}
{"Action":"skip","Package":"regctl/stack/auth","Test":"TestD"}
{"Action":"skip","Package":"regctl/empty"}
`

func TestReport(t *testing.T) {
	t.Parallel()
	const all = `skipped: 3 of 5 tests
  needs root: 2
    certs TestB
    stack/auth TestC/x
  no reason given: 1
    stack/auth TestD
`
	const some = "# comment\n\ncerts TestB needs a kernel\nstack/auth TestC is slow\n"
	marked := strings.NewReplacer("TestB", "TestB (allowed)", "TestC/x", "TestC/x (allowed)").Replace(all)
	for _, c := range []struct {
		name, events, allow string
		ci, ok              bool
		want                string
	}{
		{"no skips", events[:strings.Index(events, `{"Action":"output","Package":"regctl/certs","Test":"TestB"`)], "", true, true, "skipped: none of 1 tests\n"},
		{"at home", events, "", false, true, all},
		{"in CI", events, "", true, false, all + "skipped: 3 of these are not allowed in CI\n"},
		{"some allowed", events, some, true, false, marked + "skipped: 1 of these are not allowed in CI\n"},
		{"all allowed", events, some + "stack/auth TestD why", true, true, strings.Replace(marked, "TestD", "TestD (allowed)", 1)},
	} {
		dir := t.TempDir()
		var out strings.Builder
		ok, err := run(&out, write(t, dir, "allow", c.allow), []string{write(t, dir, "events", c.events)}, c.ci)
		if ok != c.ok || err != nil || out.String() != c.want {
			t.Errorf("%s: %t, %v\n%s\nwant %t\n%s", c.name, ok, err, out.String(), c.ok, c.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := write(t, dir, "events", events)
	for want, args := range map[string][]string{
		"give one file":           {""},
		"no such file":            {"", dir + "/none"},
		"reading":                 {"", write(t, dir, "text", "ok  regctl 0.1s\n")},
		"allow: line 2: needs a":  {write(t, dir, "allow", "# x\ncerts TestB\n"), good},
		"none: no such file or d": {dir + "/none", good},
	} {
		if ok, err := run(&strings.Builder{}, args[0], args[1:], false); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %t, %v; want %s", args, ok, err, want)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
