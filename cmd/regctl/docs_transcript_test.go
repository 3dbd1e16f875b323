package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// transcriptStep is a command of the demo with all that it printed.
type transcriptStep struct{ title, command, output string }

// parseTranscript reads what the demo prints: "# title" begins a part of it,
// and "$ command" a step.
func parseTranscript(text string) (steps []transcriptStep) {
	title := ""
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "# "):
			title = strings.TrimSpace(line)
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, transcriptStep{title: title, command: strings.TrimSpace(line)})
		case len(steps) > 0:
			steps[len(steps)-1].output += line
		}
	}
	for i := range steps {
		steps[i].output = strings.TrimSpace(steps[i].output)
	}
	return steps
}

func renderTranscript(steps []transcriptStep) string {
	var b strings.Builder
	title := ""
	for _, s := range steps {
		if s.title != title {
			if title != "" {
				b.WriteByte('\n')
			}
			title = s.title
			b.WriteString(title + "\n")
		}
		b.WriteString(s.command + "\n")
		if s.output != "" {
			b.WriteString(s.output + "\n")
		}
	}
	return b.String()
}

// whatVaries are the parts of a transcript that differ between runs.
func whatVaries() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"ADDRESS": regexp.MustCompile(`127\.0\.0\.1:\d+`),
		"DIGEST":  regexp.MustCompile(`sha256:[0-9a-f]{64}`),
		"TIME":    regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?`),
		"SIZE":    regexp.MustCompile(`size: \d+|[\d.]+ [KMGT]iB`),
		"RANDOM":  regexp.MustCompile(`\b([A-Z2-7]{26}|[0-9a-f]{16})\b`), // passwords and token ids
		"UID":     regexp.MustCompile(`uid \d+`),
		" ":       regexp.MustCompile(` +`), // columns are as wide as what is in them
	}
}

// leveled returns the step with placeholders for what varies.
func (s transcriptStep) leveled() transcriptStep {
	for name, varying := range whatVaries() {
		s.command = varying.ReplaceAllString(s.command, name)
		s.output = varying.ReplaceAllString(s.output, name)
	}
	return s
}

var transcriptBlock = regexp.MustCompile("(?s)<!-- transcript -->\n```\n(.*?)```\n<!-- /transcript -->")

// TestDocsTranscript runs the demo and compares it with what the README shows
// of it. The README chooses the steps, in the demo's order; of each it shows
// everything. To show another one, write its command there and run make docs.
func TestDocsTranscript(t *testing.T) { // not in parallel: both may write the README
	page := filepath.Join(repository, "README.md")
	text := readText(t, page)
	block := transcriptBlock.FindStringSubmatch(text)
	if block == nil {
		t.Fatal("the README has no transcript")
	}
	shown := parseTranscript(block[1])
	if len(shown) < 5 {
		t.Fatalf("the README shows %d steps", len(shown))
	}
	steps := parseTranscript(runDemo(t))
	differs := false
	for i, s := range shown {
		next := 0
		for next < len(steps) && (steps[next].title != s.title || steps[next].leveled().command != s.leveled().command) {
			next++
		}
		if next == len(steps) {
			t.Fatalf("the demo has no such step, or not in this place:\n%s\n%s", s.title, s.command)
		}
		if s.leveled() != steps[next].leveled() {
			differs = true
			if os.Getenv("UPDATE") == "" {
				t.Errorf("%s: README:\n%s\ndemo:\n%s\nmake docs updates it", s.command, s.output, steps[next].output)
			}
		}
		shown[i], steps = steps[next], steps[next+1:]
	}
	if differs && os.Getenv("UPDATE") != "" {
		sameText(t, page, strings.Replace(text, block[1], renderTranscript(shown), 1))
	}
}

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```\n")

// docsAddress is where the README serves; the test serves on any free port.
const docsAddress = "127.0.0.1:5000"

// TestDocsConsole runs the console blocks of the README, one after the other in
// one shell, and compares what they print.
func TestDocsConsole(t *testing.T) {
	page := filepath.Join(repository, "README.md")
	text := readText(t, page)
	var shown []transcriptStep
	for _, block := range consoleBlock.FindAllStringSubmatch(text, -1) {
		shown = append(shown, parseTranscript(block[1])...)
	}
	if len(shown) < 10 {
		t.Fatalf("the README has %d commands", len(shown))
	}
	steps := runConsole(t, shown)
	updated := consoleBlock.ReplaceAllStringFunc(text, func(block string) string {
		n := len(parseTranscript(consoleBlock.FindStringSubmatch(block)[1]))
		old, now := shown[:n], steps[:n]
		shown, steps = shown[n:], steps[n:]
		same := true
		for i := range old {
			if old[i].leveled() != now[i].leveled() {
				same = false
				if os.Getenv("UPDATE") == "" {
					t.Errorf("%s: README:\n%s\nnow:\n%s\nmake docs updates it", old[i].command, old[i].output, now[i].output)
				}
			}
		}
		if same {
			return block
		}
		return "```console\n" + renderTranscript(now) + "```\n"
	})
	if os.Getenv("UPDATE") != "" {
		sameText(t, page, updated)
	}
}

// runConsole runs commands in one shell and a directory of their own.
func runConsole(t *testing.T, commands []transcriptStep) []transcriptStep {
	t.Helper()
	script := "exec 2>&1\ntrap 'kill $(jobs -p); wait' EXIT\n"
	for _, s := range commands {
		script += "cat <<'COMMAND'\n" + s.command + "\nCOMMAND\n"
		script += strings.ReplaceAll(strings.TrimPrefix(s.command, "$ "), docsAddress, "127.0.0.1:0") + "\n"
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script) // TestMain puts regctl on its PATH
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "TZ=UTC")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps := parseTranscript(whatVaries()["ADDRESS"].ReplaceAllString(string(out), docsAddress))
	if len(steps) != len(commands) {
		t.Fatalf("%d commands of %d ran:\n%s", len(steps), len(commands), out)
	}
	for i := range steps {
		steps[i].command = commands[i].command
	}
	return steps
}

// runDemo plays the demo with the program as make build makes it: with the race
// detector it would be too slow for an account of three seconds.
func runDemo(t *testing.T) string {
	t.Helper()
	crane, err := filepath.Abs(filepath.Join(repository, ".tools", "bin", "crane"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(crane); err != nil {
		t.Skipf("SKIPPED: crane is missing; to build it: .ci/tools crane")
	}
	regctl := filepath.Join(t.TempDir(), "regctl")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", regctl, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building regctl: %v\n%s", err, out)
	}
	demo := exec.CommandContext(t.Context(), filepath.Join(repository, "examples", "demo", "demo.sh"), regctl, crane)
	demo.Env = append(os.Environ(), "TZ=UTC")
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
	return string(out)
}
