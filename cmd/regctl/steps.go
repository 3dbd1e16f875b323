package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"regctl/provision"
	"regctl/provision/step"
)

const (
	// showAfter is how long a step may take before it shows that it is alive.
	showAfter = 2 * time.Second
	// showEvery is the pause between two lines where lines cannot be rewritten.
	showEvery = 10 * time.Second
	// redrawEvery is the pause where they can.
	redrawEvery = 200 * time.Millisecond
)

// stepPrinter shows how steps come along. On a terminal the line of the step
// under way is rewritten; elsewhere there is a line now and then.
type stepPrinter struct {
	w     io.Writer
	live  bool
	width int // of the longest name of a step

	mu           sync.Mutex
	head         string // of the step under way
	began, shown time.Time
}

func (e *env) newStepPrinter() *stepPrinter {
	width := 0
	for _, name := range provision.StepNames() {
		width = max(width, len(name))
	}
	return &stepPrinter{w: e.stdout, live: e.live, width: width}
}

// Begins implements [provision.Watcher].
func (p *stepPrinter) Begins(number, of int, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head = fmt.Sprintf("[%*d/%d %s]%s", len(fmt.Sprint(of)), number, of, name, strings.Repeat(" ", max(0, p.width-len(name))))
	p.began = time.Now()
	p.shown = p.began.Add(showAfter)
	if p.live {
		p.shown = p.began
		fmt.Fprint(p.w, p.head)
	}
}

// Progress implements [provision.Watcher].
func (p *stepPrinter) Progress(at step.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := oneLine(at.Text)
	if at.Total > 0 {
		text += fmt.Sprintf(" %d%%", min(100, 100*at.Done/at.Total))
	}
	switch now := time.Now(); {
	case at.Lasting && p.live:
		fmt.Fprintf(p.w, "\r\x1b[K  %s\n%s", text, p.head)
	case at.Lasting:
		fmt.Fprintf(p.w, "  %s\n", text)
	case now.Before(p.shown):
	case p.live:
		p.shown = now.Add(redrawEvery)
		// Without wrapping: a line that wraps cannot be rewritten.
		fmt.Fprintf(p.w, "\r\x1b[K\x1b[?7l%s %s (%s)\x1b[?7h", p.head, text, now.Sub(p.began).Round(time.Second))
	default:
		p.shown = now.Add(showEvery)
		fmt.Fprintf(p.w, "%s %s (%s)\n", p.head, text, now.Sub(p.began).Round(time.Second))
	}
}

// Ends implements [provision.Watcher].
func (p *stepPrinter) Ends(_, _ int, r provision.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	line := fmt.Sprintf("%s %-7s %5.1fs", p.head, r.Outcome, r.Took.Seconds())
	if r.Outcome == provision.Changed || r.Outcome == provision.Unchanged {
		line += "  " + oneLine(r.Change.Cause)
	}
	fmt.Fprintln(p.w, line)
}

// printPlan prints what each step would do, and how many would do something.
func printPlan(w io.Writer, plan []provision.Planned) error {
	width := 0
	for _, p := range plan {
		width = max(width, len(p.Step))
	}
	for _, p := range plan {
		action, cause := string(p.Action), p.Cause
		if p.Problem != "" {
			action, cause = "unknown", p.Problem
		}
		fmt.Fprintf(w, "  %-*s  %-7s %s\n", width, p.Step, action, oneLine(cause))
	}
	_, err := fmt.Fprintf(w, "%s of %d to do something\n", plural(provision.Pending(plan), "step"), len(plan))
	return err
}
