package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"regctl/provision/step"
)

// lineEvery is how often progress gets a new line where it is not a terminal
// that shows it.
const lineEvery = 10 * time.Second

// liveLine shows how a long step is getting on: on a terminal in one line that
// changes, elsewhere now and then in a line of its own.
type liveLine struct {
	out      io.Writer
	terminal *os.File // out, if it is one

	mu    sync.Mutex
	drawn bool      // the terminal's line is not empty
	last  time.Time // of a line elsewhere
}

func newLiveLine(e *env) *liveLine {
	l := &liveLine{out: e.stderr}
	if f, ok := e.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		l.terminal = f
	}
	return l
}

// show is for [step.WithProgress].
func (l *liveLine) show(p step.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terminal == nil {
		if now := time.Now(); now.Sub(l.last) >= lineEvery {
			l.last = now
			fmt.Fprintln(l.out, p.Text)
		}
		return
	}
	text := []rune(p.Text)
	// A line that wraps could not be taken back.
	if width, _, err := term.GetSize(int(l.terminal.Fd())); err == nil && width > 0 && len(text) >= width {
		text = text[:width-1]
	}
	fmt.Fprintf(l.out, "%s%s", clearLine, string(text))
	l.drawn = true
}

// clearLine goes to the line's begin and erases it (ECMA-48: EL).
const clearLine = "\r\x1b[K"

// end makes room for what is printed next.
func (l *liveLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drawn {
		fmt.Fprint(l.out, clearLine)
		l.drawn = false
	}
}
