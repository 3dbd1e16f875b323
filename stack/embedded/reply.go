package embedded

import (
	"io"
	"net/http"
	"time"
)

const (
	// stallLimit is how long a client may neither take nor send a byte of a
	// layer. Layers take as long as they take, so there is no limit in all.
	stallLimit = 15 * time.Minute
	// authLimit is for a whole token request.
	authLimit = 30 * time.Second
)

// reply is a response that extends its write deadline as the client takes it,
// and counts.
type reply struct {
	http.ResponseWriter
	conn    *http.ResponseController
	writes  extender
	status  int
	written int64
}

func newReply(w http.ResponseWriter) *reply {
	return &reply{ResponseWriter: w, conn: http.NewResponseController(w)}
}

// limitWrites cuts the client off when it takes nothing for limit.
func (w *reply) limitWrites(limit time.Duration) {
	w.writes = extender{limit: limit, set: w.conn.SetWriteDeadline}
}

// deadline is when the request must have been read and answered.
func (w *reply) deadline(t time.Time) {
	// Writers that have no deadlines are not connections but recorders.
	_ = w.conn.SetReadDeadline(t)
	_ = w.conn.SetWriteDeadline(t)
}

// WriteHeader implements http.ResponseWriter.
func (w *reply) WriteHeader(status int) {
	if w.status == 0 || w.status < http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *reply) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.writes.extend()
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (w *reply) Flush() { _ = w.conn.Flush() }

// Unwrap is for http.ResponseController.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limitReads returns body such that the client is cut off when it sends nothing
// for limit.
func limitReads(w *reply, body io.ReadCloser, limit time.Duration) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	b := &requestBody{ReadCloser: body, reads: extender{limit: limit, set: w.conn.SetReadDeadline}}
	b.reads.extend() // also for a body that is not read: net/http drains it
	return b
}

type requestBody struct {
	io.ReadCloser
	reads extender
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.reads.extend()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// The client has nothing more to send. The deadline would end a request
		// that the registry is still working on.
		_ = b.reads.set(time.Time{})
	}
	return n, err
}

// extender moves a deadline on. Moving it costs about as much as writing a small
// block, so that is done only when a part of the limit is used up.
type extender struct {
	limit time.Duration
	set   func(time.Time) error
	last  time.Time
}

func (e *extender) extend() {
	if e.limit == 0 {
		return
	}
	if now := time.Now(); now.Sub(e.last) > e.limit/64 {
		e.last = now
		_ = e.set(now.Add(e.limit)) // recorders have no deadlines
	}
}
