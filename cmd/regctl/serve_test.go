package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"regctl/provision"
	"regctl/stack/auth"
	"regctl/stack/embedded"
)

// served is a regctl serve in a process of its own.
type served struct {
	t              *testing.T
	dir            string
	cmd            *exec.Cmd
	stdout, stderr syncBuffer
	ended          chan struct{} // closed when the process is gone
	err            error         // then: how it ended
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// launch starts regctl serve on a free port and does not wait for it.
func launch(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	s := &served{t: t, dir: dir, ended: make(chan struct{})}
	s.cmd = exec.Command("regctl", append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	return s
}

// serve starts regctl serve and waits until it is healthy and says so.
func serve(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	s := launch(t, dir, args...)
	err := eventually("serve", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("regctl serve ended: %v\n%s", s.err, &s.stderr)
		default:
		}
		return strings.HasPrefix(s.stdout.String(), "ready ") && healthy(s.status())
	})
	if err != nil {
		t.Fatalf("%v\n%v\n%s", err, s.status(), &s.stderr)
	}
	return s
}

func (s *served) status() []provision.CheckResult {
	return provision.RunChecks(context.Background(), provision.EmbeddedChecks(s.dir, adminSocket(s.dir)))
}

// stop ends the server as an operator does; it must end well.
func (s *served) stop() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.ended
	if s.err != nil {
		s.t.Errorf("regctl serve: %v\n%s", s.err, &s.stderr)
	}
}

func (s *served) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *served) admin() *auth.Client { return auth.NewClient(adminSocket(s.dir)) }

// firstPassword is what the first run printed, if it did.
func (s *served) firstPassword() string {
	if found := regexp.MustCompile(`with password ([A-Z2-7]{26})\n`).FindStringSubmatch(s.stderr.String()); found != nil {
		return found[1]
	}
	return ""
}

// at is where the server is.
func (s *served) at() embedded.Running {
	s.t.Helper()
	at, err := embedded.ReadRunning(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// dialTo connects to the server whatever name is asked for.
func (s *served) dialTo(ctx context.Context, _, _ string) (net.Conn, error) {
	at, err := embedded.ReadRunning(s.dir)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", at.Address)
}

// login asks for a token as a client does, and returns it with the status.
func (s *served) login(user, password string, scopes ...string) (status int, token string) {
	s.t.Helper()
	at := s.at()
	query := url.Values{"service": {at.Service}, "scope": scopes}
	req, err := http.NewRequest(http.MethodGet, at.URL+"/auth?"+query.Encode(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("login: %v\n%s", err, &s.stderr)
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			s.t.Fatal(err)
		}
	}
	return resp.StatusCode, answer.Token
}

// command runs regctl with --dir of the installation.
func (s *served) command(stdin string, args ...string) result {
	s.t.Helper()
	return runProgram(s.t, exec.Command("regctl", append(args, "--dir", s.dir)...), stdin)
}

// runProgram runs a command to its end.
func runProgram(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A push that runs when the server is told to stop is finished; new requests
// are not taken.
func TestServeStopsGracefully(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "srv"))
	_, token := s.login("admin", s.firstPassword(), "repository:app:pull,push")
	base := s.at().URL
	do := func(method, target string, body io.Reader) (*http.Response, error) {
		req, err := http.NewRequest(method, target, body)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	resp, err := do(http.MethodPost, base+"/v2/app/blobs/uploads/", nil)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%v, %v", resp, err)
	}
	layer, feed := io.Pipe()
	type answer struct {
		resp *http.Response
		err  error
	}
	pushed := make(chan answer, 1)
	go func() {
		resp, err := do(http.MethodPatch, resp.Header.Get("Location"), layer)
		pushed <- answer{resp, err}
	}()
	block := bytes.Repeat([]byte("x"), 1<<20)
	if _, err := feed.Write(block); err != nil { // larger than any buffer between: the push runs
		t.Fatal(err)
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := eventually("closing the listener", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	}); err != nil {
		t.Error(err)
	}
	select {
	case <-s.ended:
		t.Fatalf("the server ended under a running push: %v", s.err)
	default:
	}
	_, err = feed.Write(block)
	feed.Close()
	last := <-pushed
	if err != nil || last.err != nil || last.resp.StatusCode != http.StatusAccepted || last.resp.Header.Get("Range") != fmt.Sprintf("0-%d", 2<<20-1) {
		t.Errorf("the push ended with %v, %v, %v", err, last.err, last.resp)
	}
	<-s.ended
	if s.err != nil {
		t.Errorf("regctl serve: %v\n%s", s.err, &s.stderr)
	}

	// What was pushed is there after a restart, also the state of the upload.
	again := serve(t, s.dir)
	resp, err = do(http.MethodGet, strings.Replace(last.resp.Header.Get("Location"), base, again.at().URL, 1), nil)
	if err != nil || resp.StatusCode != http.StatusNoContent || resp.Header.Get("Range") != last.resp.Header.Get("Range") {
		t.Errorf("the upload after a restart: %v, %v", resp, err)
	}
	if again.firstPassword() != "" {
		t.Error("the second run printed a password")
	}
	again.stop()
}

// A second signal does not wait for anybody.
func TestServeStopsAtOnceWhenAskedTwice(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "srv"))
	conn, err := net.Dial("tcp", s.at().Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n")
	if _, err := conn.Read(make([]byte, 8)); err != nil { // 100 Continue: the request is being served
		t.Fatal(err)
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	if err := eventually("the second signal", func() bool {
		_ = s.cmd.Process.Signal(os.Interrupt)
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	}); err != nil {
		t.Fatal(err)
	}
	if status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v, want the signal", s.cmd.ProcessState)
	}
	serve(t, s.dir).stop()
}
