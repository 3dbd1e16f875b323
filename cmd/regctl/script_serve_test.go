package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"regctl/provision"
	"regctl/stack/embedded"
)

// patience is how long scripts wait for what a server does on its own.
const patience = 30 * time.Second

// eventually repeats a look until it is content.
func eventually(what string, look func() bool) error {
	for end := time.Now().Add(patience); !look(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s", what, patience)
		}
	}
	return nil
}

// cmdSignal: signal NAME FILE sends a signal to the process that a lock file
// names.
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	number := unix.SignalNum("SIG" + args[0])
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(unix.Kill(pid, number))
}

// cmdRequest: request TARGET PATH [USER PASSWORD] asks a server and prints the
// status and the answer. TARGET is an installation, or the unix socket of an
// auth server, for which it waits.
func cmdRequest(ts *testscript.TestScript, _ bool, args []string) {
	target := ts.MkAbs(args[0])
	network, address, url := "unix", target, "http://localhost"
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		at, err := embedded.ReadRunning(target)
		ts.Check(err)
		network, address, url = "tcp", at.Address, at.URL
	}
	req, err := http.NewRequest(http.MethodGet, url+args[1], nil)
	ts.Check(err)
	if len(args) > 2 {
		req.SetBasicAuth(args[2], args[3])
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	var resp *http.Response
	ts.Check(eventually("an answer from "+args[0], func() bool {
		resp, err = client.Do(req)
		return err == nil
	}))
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s", resp.StatusCode, body)
}

// cmdWaitStatus: waitstatus CODE DIR waits until regctl status exits with CODE,
// and leaves its output.
func cmdWaitStatus(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	dir := ts.MkAbs(args[1])
	ts.Check(eventually("status "+args[0], func() bool {
		results := provision.RunChecks(context.Background(), provision.EmbeddedChecks(dir, adminSocket(dir)))
		return healthy(results) == (want == codeDone)
	}))
	cmdExits(ts, false, []string{args[0], "regctl", "status", "--dir", args[1]})
}

// cmdWaitLog: waitlog FILE PATTERN waits until a line of FILE matches.
func cmdWaitLog(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	if eventually(args[1], func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		return pattern.Match(text)
	}) != nil {
		ts.Fatalf("no line of %s matches %s:\n%s", args[0], args[1], text)
	}
}

// cmdReadOnly: readonly DIR mounts an empty read-only file system there.
func cmdReadOnly(ts *testscript.TestScript, _ bool, args []string) {
	mount(ts, args[0], unix.MS_RDONLY, "size=64k")
}

// cmdFull: full DIR mounts a full file system there, with the directory that a
// registry needs.
func cmdFull(ts *testscript.TestScript, _ bool, args []string) {
	dir := mount(ts, args[0], 0, "size=64k")
	ts.Check(os.Mkdir(filepath.Join(dir, "registry"), 0o700))
	err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600)
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		ts.Fatalf("filling %s: %v", dir, err)
	}
}

func mount(ts *testscript.TestScript, name string, flags uintptr, options string) (dir string) {
	dir = ts.MkAbs(name)
	ts.Check(unix.Mount("none", dir, "tmpfs", flags, options))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // unless the script has
	return dir
}

// cmdWritable: writable DIR takes away what readonly or full mounted there.
func cmdWritable(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(unix.Unmount(ts.MkAbs(args[0]), unix.MNT_DETACH))
}
