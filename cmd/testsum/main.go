// Testsum counts the skipped tests in the output of go test -json, so that a
// skip never looks like a pass. With CI=true in the environment a skip that is
// not on the list of allowed ones makes it fail.
//
//	testsum [-allow FILE] OUTPUT
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	allow := flag.String("allow", "", "`file` of the skips that CI allows")
	flag.Parse()
	ok, err := run(os.Stdout, *allow, flag.Args(), os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run prints the summary of the one file in args and reports whether the
// skips in it are acceptable.
func run(w io.Writer, allowFile string, args []string, ci bool) (ok bool, err error) {
	if len(args) != 1 {
		return false, errors.New("give one file with the output of go test -json")
	}
	events, err := os.Open(args[0])
	if err != nil {
		return false, err
	}
	defer events.Close()
	skips, tests, err := read(events)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", args[0], err)
	}
	allowed := map[string]bool{}
	if allowFile != "" {
		text, err := os.ReadFile(allowFile)
		if err != nil {
			return false, err
		}
		if allowed, err = parseAllowed(string(text)); err != nil {
			return false, fmt.Errorf("%s: %w", allowFile, err)
		}
	}
	return report(w, skips, tests, allowed, ci), nil
}

// skip is a test that was skipped.
type skip struct {
	test   string // package and top-level test, as in the list of allowed skips
	name   string // with the subtest
	reason string
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// read finds the skipped tests among the events, and counts all that ended.
// A parent of subtests is a test like any other there, and counted.
func read(r io.Reader) (skips []skip, tests int, err error) {
	printed := map[string]string{}
	for d := json.NewDecoder(bufio.NewReader(r)); ; {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return skips, tests, nil
		} else if err != nil {
			return nil, 0, err
		}
		if e.Test == "" {
			continue // a skipped package is one without tests
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			printed[name] += e.Output
		case "skip":
			top, _, _ := strings.Cut(e.Test, "/")
			dir := e.Package[strings.Index(e.Package, "/")+1:]
			skips = append(skips, skip{dir + " " + top, dir + " " + e.Test, reason(printed[name])})
		}
		if slices.Contains([]string{"pass", "fail", "skip"}, e.Action) {
			tests++
			delete(printed, name)
		}
	}
}

// reason finds the text given to t.Skip: the last thing a skipped test logs,
// before or after go test's own line about the skip.
func reason(output string) string {
	logged := regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`).FindAllStringSubmatch(output, -1)
	if len(logged) == 0 {
		return "no reason given"
	}
	return logged[len(logged)-1][1]
}

// parseAllowed reads lines of package, test and why; # begins a comment line.
func parseAllowed(text string) (map[string]bool, error) {
	allowed := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 3 {
			return nil, fmt.Errorf("line %d: needs a package, a test, and why its skip is no loss", n)
		}
		allowed[fields[0]+" "+fields[1]] = true
	}
	return allowed, nil
}

// report prints the skips by reason and tells whether they are acceptable.
func report(w io.Writer, skips []skip, tests int, allowed map[string]bool, ci bool) (ok bool) {
	if len(skips) == 0 {
		fmt.Fprintf(w, "skipped: none of %d tests\n", tests)
		return true
	}
	fmt.Fprintf(w, "skipped: %d of %d tests\n", len(skips), tests)
	byReason := map[string][]skip{}
	var reasons []string
	refused := 0
	for _, s := range skips {
		if byReason[s.reason] == nil {
			reasons = append(reasons, s.reason)
		}
		byReason[s.reason] = append(byReason[s.reason], s)
		if !allowed[s.test] {
			refused++
		}
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		fmt.Fprintf(w, "  %s: %d\n", r, len(byReason[r]))
		for _, s := range byReason[r] {
			mark := ""
			if allowed[s.test] {
				mark = " (allowed)"
			}
			fmt.Fprintf(w, "    %s%s\n", s.name, mark)
		}
	}
	if ci && refused > 0 {
		fmt.Fprintf(w, "skipped: %d of these are not allowed in CI\n", refused)
		return false
	}
	return true
}
