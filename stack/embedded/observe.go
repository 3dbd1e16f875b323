package embedded

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// observer writes down what a handler did: each request, and the cause of a
// panic, which net/http would write among the noise of scanners.
type observer struct {
	name      string    // of the handler, in messages
	accessLog io.Writer // nil: none
	log       *slog.Logger
	mu        sync.Mutex // one access log line at a time
}

// finish is deferred by handlers.
func (o *observer) finish(reply *reply, r *http.Request, start time.Time) {
	cause := recover()
	if cause != nil && cause != http.ErrAbortHandler {
		o.log.Error(o.name+": panic while serving", "method", r.Method, "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
	}
	if o.accessLog != nil {
		o.write(reply, r, start, cause != nil)
	}
	if cause != nil {
		panic(http.ErrAbortHandler) // cut the connection: the client must not take half an answer for a whole one
	}
}

// write adds a line in the format that nginx calls combined and Apache the
// same, so that one filter of fail2ban reads all. The query is left out: it has
// account names, and the state of uploads. A request that was cut before it was
// answered has status 499, as nginx has it.
func (o *observer) write(reply *reply, r *http.Request, start time.Time, cut bool) {
	status := reply.status
	switch {
	case status == 0 && cut:
		status = 499
	case status == 0:
		status = http.StatusOK // net/http's default
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = "-" // a unix socket
	}
	request := r.Method + " " + r.URL.EscapedPath() + " " + r.Proto
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.accessLog, "%s - - [%s] %s %d %d %s %s\n", peer, start.Format("02/Jan/2006:15:04:05 -0700"),
		strconv.QuoteToASCII(request), status, reply.written, quotedOrDash(r.Referer()), quotedOrDash(r.UserAgent()))
}

func quotedOrDash(text string) string {
	if text == "" {
		text = "-"
	}
	return strconv.QuoteToASCII(text)
}
