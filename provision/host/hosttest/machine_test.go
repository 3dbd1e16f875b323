package hosttest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
)

func TestBehaviour(t *testing.T) {
	t.Parallel()
	hosttest.Behaviour(t, func(t *testing.T) (host.Machine, string) {
		m := hosttest.New(t)
		m.MkdirAll("/srv/regctl")
		if strings.HasSuffix(t.Name(), "/commands") {
			m.Install("printenv", hosttest.Program{Look: printenv, Run: printenv})
			m.Install("false", hosttest.Program{Look: hosttest.Always(hosttest.Reply{Exit: 1}), Run: hosttest.Always(hosttest.Reply{Exit: 1})})
		}
		if strings.HasSuffix(t.Name(), "/commands") || strings.HasSuffix(t.Name(), "/stars") {
			m.Install("cat", hosttest.Program{Look: cat, Run: cat})
		}
		return m, "/srv/regctl"
	})
}

func printenv(c host.Cmd) (hosttest.Reply, bool) {
	return hosttest.Reply{Stdout: c.Env[c.Argv[1]] + "\n"}, len(c.Argv) == 2
}

func cat(c host.Cmd) (hosttest.Reply, bool) {
	r := hosttest.Reply{Stdout: c.Stdin.Reveal()}
	if len(c.Argv) > 1 {
		r.Exit, r.Stderr = 1, "cat: "+c.Argv[2]+": No such file or directory\n"
	}
	return r, true
}

// witness is a test that only notes how it failed.
type witness struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (w *witness) Helper()          {}
func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) Errorf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

func TestStandInsAreStrict(t *testing.T) {
	t.Parallel()
	status := func(c host.Cmd) (hosttest.Reply, bool) {
		return hosttest.Reply{Stdout: "Status: active\n"}, c.String() == "ufw status"
	}
	allow := func(c host.Cmd) (hosttest.Reply, bool) {
		return hosttest.Reply{}, c.String() == "ufw allow 443/tcp"
	}
	for name, test := range map[string]struct {
		use  func(m *hosttest.Machine) error
		want string // the failure of the test; "" for none
	}{
		"known calls": {func(m *hosttest.Machine) error {
			_, err := m.Look(t.Context(), host.Command("ufw", "status"))
			_, err2 := m.Run(t.Context(), host.Command("ufw", "allow", "443/tcp"))
			return errors.Join(err, err2)
		}, ""},
		"unknown program": {func(m *hosttest.Machine) error {
			m.Run(t.Context(), host.Command("ufw", "allow", "443/tcp"))
			_, err := m.Run(t.Context(), host.Command("iptables", "-F"))
			return err
		}, "run iptables -F: no such program is installed"},
		"unknown arguments": {func(m *hosttest.Machine) error {
			_, err := m.Run(t.Context(), host.Command("ufw", "enable"))
			return err
		}, "run ufw enable: the stand-in does not know this call"},
		"change as a look": {func(m *hosttest.Machine) error {
			_, err := m.Look(t.Context(), host.Command("ufw", "allow", "443/tcp"))
			return err
		}, "look ufw allow 443/tcp: the stand-in does not know this call"},
		"never called": {func(m *hosttest.Machine) error { return errors.New("not asked") },
			"ufw is installed, and was not called"},
	} {
		w := &witness{}
		m := hosttest.New(w)
		m.Install("ufw", hosttest.Program{Look: status, Run: allow})
		err := test.use(m)
		for _, f := range w.cleanups {
			f()
		}
		failures := strings.Join(w.failures, "\n")
		if test.want == "" && (failures != "" || err != nil) {
			t.Errorf("%s: %v, %s", name, err, failures)
		}
		if test.want != "" && (len(w.failures) != 1 || !strings.Contains(failures, test.want) || err == nil) {
			t.Errorf("%s: error %v, failures %q; want an error and the one failure %q", name, err, w.failures, test.want)
		}
	}
}
