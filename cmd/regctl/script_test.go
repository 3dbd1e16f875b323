package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("DOLLAR", "$")
			e.Values[scriptKey{}] = &scriptState{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"testserver": cmdTestServer,
			"login":      cmdLogin,
			"loginfile":  cmdLoginFile,
			"exits":      cmdExits,
			"remember":   cmdRemember,
			"unchanged":  cmdUnchanged,
			"signal":     cmdSignal,
			"request":    cmdRequest,
			"waitstatus": cmdWaitStatus,
			"waitlog":    cmdWaitLog,
			"readonly":   cmdReadOnly,
			"full":       cmdFull,
			"writable":   cmdWritable,
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

// scriptState is what the commands of one script share.
type scriptState struct {
	server *testServer
	saved  store.State
}

type scriptKey struct{}

func state(ts *testscript.TestScript) *scriptState { return ts.Value(scriptKey{}).(*scriptState) }

// cmdTestServer: testserver DIR [USER] starts a server in DIR until the script
// ends. USER is then defined by its configuration file.
func cmdTestServer(ts *testscript.TestScript, _ bool, args []string) {
	cfg, err := testConfig()
	ts.Check(err)
	if len(args) > 1 {
		cfg.Users = map[string]auth.StaticUser{args[1]: {}}
		cfg.ACL = []store.Rule{{Match: store.Match{Account: &args[1]}, Actions: []string{"pull"}}}
	}
	s, err := startServer(ts.MkAbs(args[0]), cfg)
	ts.Check(err)
	ts.Defer(s.close)
	state(ts).server = s
}

// cmdLoginFile: loginfile USER FILE [SCOPE] is login with the password in FILE.
func cmdLoginFile(ts *testscript.TestScript, neg bool, args []string) {
	args[1] = strings.TrimSpace(ts.ReadFile(args[1]))
	cmdLogin(ts, neg, args)
}

// cmdLogin: login USER PASSWORD [SCOPE] asks for a token the way a client does
// and prints the status and the granted actions.
func cmdLogin(ts *testscript.TestScript, _ bool, args []string) {
	r := httptest.NewRequest("GET", "/auth?service=registry&offline_token=true&client_id=docker&scope="+url.QueryEscape(strings.Join(args[2:], "")), nil)
	r.SetBasicAuth(args[0], args[1])
	w := httptest.NewRecorder()
	state(ts).server.ServeHTTP(w, r)
	fmt.Fprintln(ts.Stdout(), w.Code)
	if w.Code != 200 {
		fmt.Fprint(ts.Stdout(), w.Body)
		return
	}
	var answer struct{ Token string }
	ts.Check(json.Unmarshal(w.Body.Bytes(), &answer))
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	ts.Check(err)
	var claims struct {
		Access []struct{ Actions []string }
	}
	ts.Check(json.Unmarshal(payload, &claims))
	for _, a := range claims.Access {
		fmt.Fprintf(ts.Stdout(), "granted %s\n", strings.Join(a.Actions, ","))
	}
}

// cmdExits: exits CODE PROGRAM ARGS... runs a program that must exit with CODE.
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil && want != 0:
		ts.Fatalf("exit 0, want %d", want)
	case errors.As(err, &exit) && exit.ExitCode() != want:
		ts.Fatalf("exit %d, want %d", exit.ExitCode(), want)
	case err != nil && exit == nil:
		ts.Fatalf("%v", err)
	}
}

// cmdRemember: remember what the store holds, for unchanged.
func cmdRemember(ts *testscript.TestScript, _ bool, _ []string) {
	state(ts).saved = state(ts).server.State()
}

func cmdUnchanged(ts *testscript.TestScript, neg bool, _ []string) {
	if same := reflect.DeepEqual(state(ts).saved, state(ts).server.State()); same == neg {
		ts.Fatalf("the store is unchanged: %t", same)
	}
}
