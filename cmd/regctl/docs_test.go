package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"regctl/provision"
)

// repository is its top, seen from this package.
const repository = "../.."

// sameText compares a generated document with the file that holds it; with
// UPDATE set it rewrites the file.
func sameText(t *testing.T, path, got string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err == nil && string(old) == got {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Errorf("%s is out of date (%v): make docs", path, err)
		return
	}
	if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocsCommands keeps the page of all commands as their help is.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	var list, pages bytes.Buffer
	walk(newRoot(&env{stdin: &bytes.Buffer{}, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.HasParent() {
			fmt.Fprintf(&list, "| [%s](#%s) | %s |\n", path, strings.ReplaceAll(path, " ", "-"), cmd.Short)
		}
		var help bytes.Buffer
		args := append(strings.Fields(path)[1:], "--help")
		if code := run(t.Context(), args, &env{stdin: &help, stdout: &help, stderr: &help}); code != codeDone {
			t.Errorf("%q: exit %d", args, code)
		}
		fmt.Fprintf(&pages, "\n## %s\n\n```\n%s\n```\n", path, strings.TrimSpace(help.String()))
	})
	var codes bytes.Buffer
	for _, code := range slices.Sorted(maps.Keys(exitTexts())) {
		fmt.Fprintf(&codes, "| %d | %s |\n", code, exitTexts()[code])
	}
	sameText(t, "README.md", `# All commands of regctl

Each command's own help, as `+"`regctl COMMAND --help`"+` prints it. This page is generated: `+"`make docs`"+` writes it, and a test fails when it
is not up to date.

| command | |
|---|---|
`+list.String()+`
Exit codes, in all commands that use them:

| code | meaning |
|---|---|
`+codes.String()+pages.String())
}

// TestDocsLinks follows the relative links of all pages, and looks for the tests
// that they name.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "-C", repository, "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	var pages []string
	for _, file := range strings.Fields(string(out)) {
		switch {
		case strings.HasSuffix(file, "_test.go"):
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`).FindAllStringSubmatch(readText(t, filepath.Join(repository, file)), -1) {
				tests[m[1]] = true
			}
		case strings.HasSuffix(file, ".md"):
			pages = append(pages, file)
		}
	}
	if len(pages) < 5 || len(tests) < 50 {
		t.Fatalf("found %d pages and %d tests", len(pages), len(tests))
	}
	for _, page := range pages {
		text := readText(t, filepath.Join(repository, page))
		for _, m := range regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(repository, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: link: %v", page, err)
			}
		}
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
}

var stepsBlock = regexp.MustCompile("(?s)<!-- steps -->\n(.*?)<!-- /steps -->")

// TestDocsSteps keeps the README's table of steps as the list is.
func TestDocsSteps(t *testing.T) { // not in parallel: others write the README too
	page := filepath.Join(repository, "README.md")
	text := readText(t, page)
	block := stepsBlock.FindStringSubmatchIndex(text)
	if block == nil {
		t.Fatal("the README has no table of steps")
	}
	var rows strings.Builder
	rows.WriteString("| step | what it does |\n|---|---|\n")
	for _, s := range provision.List() {
		fmt.Fprintf(&rows, "| `%s` | %s |\n", s.Name, s.About)
	}
	sameText(t, page, text[:block[2]]+rows.String()+text[block[3]:])
}
