package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"regctl/certs"
)

// inProcess runs a server command in this process, where its goroutines can be
// counted, and returns the address it serves at. stop ends it and returns its
// log, in which nothing may have panicked.
func inProcess(t *testing.T, address func(log string) string, args ...string) (addr string, stop func()) {
	t.Helper()
	var out, log syncBuffer
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &log, now: time.Now}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, e) }()
	if err := eventually("serving", func() bool {
		addr = address(out.String() + log.String())
		return addr != ""
	}); err != nil {
		cancel()
		t.Fatalf("%v\n%s", err, &log)
	}
	return addr, func() {
		cancel()
		if got := <-code; got != codeDone {
			t.Errorf("exit %d\n%s", got, &log)
		}
		if strings.Contains(log.String(), "panic") {
			t.Errorf("the log has a panic:\n%s", &log)
		}
	}
}

func found(pattern string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(log string) string {
		if m := re.FindStringSubmatch(log); m != nil {
			return m[1]
		}
		return ""
	}
}

// Not parallel: it counts goroutines.
func TestHostileClientsOfServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "srv")
	addr, stop := inProcess(t, found(`ready http://(\S+)`), "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	attack(t, tcp(addr), 0, []raw{
		{"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 401},
		{"GET /v2%2f HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"GET /v2/../auth HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"GET /v2/..%2fauth HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"GET /v2/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"GET /v2/_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n", 401},
		{"GET //v2/_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"GET /v2//_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"GET /v2/%00/tags/list HTTP/1.1\r\nHost: localhost\r\n\r\n", 0},
		{"PATCH /v2/x/blobs/uploads/1?_state=%00%ff HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 401},
		{"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + strings.Repeat("A.", 20000) + "\r\n\r\n", 401},
		{"GET /auth HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421},
		{"GET http://evil.test/v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		{"GET http://localhost/v2/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 401}, // RFC 9112, 3.2.2: the target's host counts
		{"GET /v2/ HTTP/1.1\r\nHost: localhost.evil.test\r\nX-Forwarded-Host: localhost\r\n\r\n", 421},
		{"GET /v2/ HTTP/1.1\r\nHost: localhost:5000@evil.test\r\n\r\n", 0},
		{"GET /v2/ HTTP/1.0\r\n\r\n", 421},
		{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"CONNECT evil.test:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		{"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", 404},
	})
	stop()
}

// Not parallel: it counts goroutines.
func TestHostileClientsOfAuthServe(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := certs.SigningCA(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "auth_config.yml")
	text := fmt.Sprintf("server: {addr: \"127.0.0.1:0\"}\ntoken: {issuer: x, expiration: 900, certificate: %s, key: %s}\n"+
		"users: {alice: {password: \"$2a$04$kBtJHhRo7DwhoyKhO6Jh4.x6OyZTtCDD7oXdKFPuuyGvHzPdSuzfi\"}}\n"+
		"acl: [{match: {account: alice}, actions: ['*']}]\naudit: {file: %s}\n", cert, key, filepath.Join(dir, "audit.log"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, stop := inProcess(t, found(`msg="Serving on (\S+)"`), "auth", "serve", config)
	attack(t, tcp(addr), 0, []raw{
		{"GET / HTTP/1.1\r\nHost: anything.test\r\n\r\n", 200},
		{"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"GET /auth/../token HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
	})
	stop()
}

// raw is what a client sends, and the status it must get. 0: any but a success
// or the server's own fault.
type raw struct {
	text string
	want int
}

// everywhere is asked of both servers.
func everywhere() []raw {
	const host = "Host: localhost\r\n"
	form := host + "Content-Type: application/x-www-form-urlencoded\r\n"
	return []raw{
		// Paths are compared exactly, after decoding.
		{"GET /auth HTTP/1.1\r\n" + host + "\r\n", 401},
		{"GET /%61uth HTTP/1.1\r\n" + host + "\r\n", 401},
		{"GET /auth%2ftoken HTTP/1.1\r\n" + host + "\r\n", 401},
		{"GET //auth HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /auth/ HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /auth/../auth HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /./auth HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /auth%00 HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /auth%zz HTTP/1.1\r\n" + host + "\r\n", 400},
		{"GET /auth;x=1 HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET auth HTTP/1.1\r\n" + host + "\r\n", 400},
		{"GET \\auth HTTP/1.1\r\n" + host + "\r\n", 400},
		{"GET /auth?scope=%zz;%00&scope=" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n" + host + "\r\n", 0},
		{"DELETE /auth HTTP/1.1\r\n" + host + "\r\n", 0},
		{"TRACE /auth HTTP/1.1\r\n" + host + "X-Secret: 1\r\n\r\n", 0},
		// Hosts.
		{"GET /auth HTTP/1.1\r\n\r\n", 400},
		{"GET /auth HTTP/1.1\r\n" + host + "Host: evil.test\r\n\r\n", 400},
		{"GET /auth HTTP/1.1\r\nHost: local host\r\n\r\n", 400},
		{"GET /auth HTTP/1.1\r\nHost: localhost\x00\r\n\r\n", 400},
		// Sizes.
		{"GET /auth HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 128<<10) + "\r\n\r\n", 431},
		{"GET /auth HTTP/1.1\r\n" + host + strings.Repeat("X: y\r\n", 20000) + "\r\n", 431},
		{"GET /" + strings.Repeat("a", 128<<10) + " HTTP/1.1\r\n" + host + "\r\n", 431},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("a", 1<<20), 413},
		{"POST /auth HTTP/1.1\r\n" + form + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("a", 1<<20), 413},
		{"GET /auth HTTP/1.1\r\n" + host + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("a", 1<<20), 413},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: 9223372036854775807\r\n\r\ngrant_type=password", 413},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: 10\r\n\r\n" + strings.Repeat("&", 10), 401},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: 60000\r\n\r\n" + strings.Repeat("&a=%zz;", 60000/7+1), 401},
		// Shapes that two servers in a row may read in two ways.
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: +4\r\n\r\nabcd", 400},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length: -1\r\n\r\nabcd", 400},
		{"POST /token HTTP/1.1\r\n" + form + "Content-Length : 4\r\n\r\nabcd", 400},
		{"POST /token HTTP/1.1\r\n" + form + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		{"POST /token HTTP/1.1\r\n" + form + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
		{"POST /token HTTP/1.1\r\n" + form + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
		{"POST /token HTTP/1.1\r\n" + form + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400},
		{"POST /token HTTP/1.1\r\n" + form + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
		{"GET /auth HTTP/1.1\r\n" + host + "X\r\n\r\n", 400},
		{"GET /auth HTTP/9.9\r\n" + host + "\r\n", 505},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400}, // TLS to a plain listener
	}
}

// dialer opens a connection to the server under attack.
type dialer func() (net.Conn, error)

func tcp(addr string) dialer { return func() (net.Conn, error) { return net.Dial("tcp", addr) } }

// attack sends what no client should, and expects that the server answers as
// before and holds on to nothing but, if it has any, the goroutines of its idle
// connections to others.
func attack(t *testing.T, dial dialer, idle int, own []raw) {
	t.Helper()
	ask(t, dial, raw{"GET /auth HTTP/1.1\r\nHost: localhost\r\n\r\n", 401})
	before := runtime.NumGoroutine()
	for _, r := range slices.Concat(everywhere(), own) {
		ask(t, dial, r)
	}
	for _, path := range []string{"POST /token", "PATCH /v2/x/blobs/uploads/1", "POST /none", "GET /auth"} {
		endless(t, dial, path)
	}
	crowd(t, dial)
	ask(t, dial, raw{"GET /auth HTTP/1.1\r\nHost: localhost\r\n\r\n", 401})
	if err := eventually("goroutines end", func() bool { return runtime.NumGoroutine() <= before+idle }); err != nil {
		stacks := make([]byte, 1<<20)
		t.Errorf("%v: %d, before %d\n%s", err, runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	}
}

func ask(t *testing.T, dial dialer, r raw) {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(conn, r.text) }() // the server may answer before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	short := fmt.Sprintf("%.100q", r.text)
	switch {
	case err != nil:
		if r.want != 0 {
			t.Errorf("%s: %v, want %d", short, err, r.want)
		}
	case r.want == 0 && (resp.StatusCode < 300 || resp.StatusCode >= 500) && resp.StatusCode != http.StatusHTTPVersionNotSupported,
		r.want != 0 && resp.StatusCode != r.want:
		t.Errorf("%s: %s, want %d", short, resp.Status, r.want)
	case strings.Contains(resp.Header.Get("Location"), "evil.test"):
		t.Errorf("%s: sent to %s", short, resp.Header.Get("Location"))
	}
	if resp != nil {
		resp.Body.Close()
	}
}

// endless sends a chunked body that does not end: the server must end it, long
// before it has taken much.
func endless(t *testing.T, dial dialer, request string) {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n", request)
	chunk := append([]byte("10000\r\n"), append(bytes.Repeat([]byte("a"), 1<<16), '\r', '\n')...)
	for range 512 { // 32 MiB: more than all buffers on the way
		if _, err := conn.Write(chunk); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the server neither takes the body nor ends the connection", request)
			}
			return
		}
	}
	t.Errorf("%s: the server took 32 MiB", request)
}

// crowd opens connections that ask nothing, half a question, or a question
// whose answer nobody reads, and goes away.
func crowd(t *testing.T, dial dialer) {
	t.Helper()
	var all []net.Conn
	for i := range 150 {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
		switch i % 3 {
		case 1:
			_, _ = io.WriteString(conn, "GET /auth HTTP/1.1\r\nHost: loc")
		case 2:
			_, _ = io.WriteString(conn, strings.Repeat("GET /auth HTTP/1.1\r\nHost: localhost\r\n\r\n", 20))
		}
	}
	ask(t, dial, raw{"GET /auth HTTP/1.1\r\nHost: localhost\r\n\r\n", 401})
	for _, conn := range all {
		conn.Close()
	}
}

// Not parallel: it counts goroutines.
func TestHostileHTTP2(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "srv")
	addr, stop := inProcess(t, found(`ready https://(\S+)`), "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--tls")
	before := runtime.NumGoroutine()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	get := func(ctx context.Context, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	var streams sync.WaitGroup
	for i := range 600 { // requests that are taken back as soon as they are made
		streams.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Duration(i%5)*time.Millisecond, cancel)
			defer cancel()
			_, _ = get(ctx, "/v2/")
		})
	}
	streams.Wait()
	resp, err := get(t.Context(), "/v2/")
	if err != nil || resp.StatusCode != http.StatusUnauthorized || resp.ProtoMajor != 2 {
		t.Errorf("after the flood: %v, %v", resp, err)
	}
	if err := eventually("goroutines end", func() bool {
		transport.CloseIdleConnections() // also those that were dialled for requests taken back
		return runtime.NumGoroutine() <= before
	}); err != nil {
		t.Errorf("%v: %d, before %d", err, runtime.NumGoroutine(), before)
	}
	stop()
}
