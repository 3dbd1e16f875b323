// Command bench measures regctl and prints a table in Markdown, which it also
// writes into a page, between the lines <!-- bench --> and <!-- /bench -->. Every
// speed is a ratio to a reference measured in the same run, so that the table
// means the same on another machine.
//
//	go build -o bin/regctl ./cmd/regctl && go run ./cmd/bench bin/regctl README.md
package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"text/tabwriter"
)

// row is a line of the table.
type row struct{ what, bar, measured string }

func main() {
	if len(os.Args) == 2 && os.Args[1] == bareArg {
		serveBare()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == bareRegistryArg {
		if err := serveBareRegistry(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench PATH-OF-REGCTL PAGE")
		os.Exit(2)
	}
	rows, err := measure(os.Args[1])
	if err == nil {
		text := table(rows)
		os.Stdout.Write(text)
		err = publish(os.Args[2], text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func table(rows []row) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| what\t | bar\t | measured\t |\n|---\t|---\t|---\t|\n")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s\t | %s\t | %s\t |\n", r.what, r.bar, r.measured)
	}
	w.Flush()
	fmt.Fprintf(&b, "\n%s, %s/%s, %d cores shared by server and load.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	return b.Bytes()
}

// publish replaces what stands between the marks of a page.
func publish(page string, text []byte) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	between := regexp.MustCompile(`(?s)(<!-- bench -->\n).*(<!-- /bench -->)`)
	if !between.Match(old) {
		return fmt.Errorf("%s has no lines <!-- bench --> and <!-- /bench -->", page)
	}
	return os.WriteFile(page, between.ReplaceAll(old, fmt.Appendf(nil, "${1}%s${2}", text)), 0o644)
}

func measure(regctl string) ([]row, error) {
	dir, err := os.MkdirTemp("", "regctl-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var rows []row
	for _, m := range []func(regctl, dir string) ([]row, error){measureTokens, measureDecisions, measureMemory, measureReady, measureDH, measureLayers} {
		some, err := m(regctl, dir)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}
