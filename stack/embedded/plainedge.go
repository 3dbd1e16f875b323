package embedded

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	challengePath = "/.well-known/acme-challenge/"
	maxChallenge  = 16 << 10 // bytes; an answer has some 90
)

// plainEdge is the listener without TLS: it answers ACME challenges (RFC 8555,
// 8.3) from files, and sends everything else to https.
type plainEdge struct {
	file  *EdgeFile
	token *regexp.Regexp
	observer
}

func newPlainEdge(file *EdgeFile, accessLog io.Writer, log *slog.Logger) *plainEdge {
	return &plainEdge{
		file: file, token: regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`), // RFC 8555, 8.1
		observer: observer{name: "edge", accessLog: accessLog, log: log},
	}
}

// ServeHTTP implements http.Handler.
func (p *plainEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := newReply(w)
	start := time.Now()
	defer p.finish(reply, r, start)
	reply.deadline(start.Add(authLimit))
	reply.Header().Set("X-Content-Type-Options", "nosniff")
	if token, ok := strings.CutPrefix(r.URL.Path, challengePath); ok {
		p.challenge(reply, r, token)
		return
	}
	reply.Header().Set("Location", p.target(r))
	reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
	reply.WriteHeader(http.StatusMovedPermanently)
}

// target is the same place at https. The host is one of ours, whatever the
// client says.
func (p *plainEdge) target(r *http.Request) string {
	host := p.file.Host
	if name, ok := hostName(r.Host); ok && name == p.file.AuthHost {
		host = name
	}
	place := r.URL.RequestURI()
	if !strings.HasPrefix(place, "/") { // OPTIONS *, CONNECT
		place = "/"
	}
	return "https://" + authority("https", host, p.file.HTTPSPort) + place
}

func (p *plainEdge) challenge(w http.ResponseWriter, r *http.Request, token string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	text, err := p.readChallenge(token)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			p.log.Warn("edge: ACME challenge", "error", err)
		}
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text) // the client may be gone
}

// readChallenge reads a file that is in the web root, wherever links lead.
func (p *plainEdge) readChallenge(token string) ([]byte, error) {
	if !p.token.MatchString(token) {
		return nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(p.file.ACMEWebroot)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// A pipe would block the request for ever.
	name := filepath.Join(strings.Trim(challengePath, "/"), token)
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fs.ErrNotExist)
	}
	return io.ReadAll(io.LimitReader(file, maxChallenge))
}
