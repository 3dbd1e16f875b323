package hosttest

import (
	"context"
	"fmt"

	"regctl/provision/host"
)

// Reply is what a stand-in prints and the status with which it ends.
type Reply struct {
	Stdout, Stderr string
	Exit           int
}

// Program stands in for a program of the host. Look answers the calls that
// come through [host.Looker], Run those through Machine.Run; a nil function
// knows no calls. They get the whole command and report whether they know it,
// and keep what state they need. A command that changes the host but is
// called as a look is thereby unknown, and found.
type Program struct {
	Look, Run func(c host.Cmd) (r Reply, known bool)
}

// Always is a stand-in function that knows every call and gives one reply.
func Always(r Reply) func(host.Cmd) (Reply, bool) {
	return func(host.Cmd) (Reply, bool) { return r, true }
}

type program struct {
	Program
	used bool
}

// Install puts a stand-in on the machine under the name that is the first of
// a command's arguments. A stand-in that is never called fails the test.
func (m *Machine) Install(name string, p Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[name] = &program{Program: p}
}

func (m *Machine) reportUnused() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range m.programs {
		if !p.used {
			m.t.Errorf("hosttest: %s is installed, and was not called", name)
		}
	}
}

// call hands c to its stand-in. The machine is not locked meanwhile, so that
// a stand-in can change files.
func (l looker) call(ctx context.Context, c host.Cmd, how string) (string, error) {
	l.t.Helper()
	if len(c.Argv) == 0 {
		return "", fmt.Errorf("running a command: no program is named")
	}
	if err := ctx.Err(); err != nil {
		return "", host.NewCmdError(c, -1, "", context.Cause(ctx))
	}
	l.mu.Lock()
	p := l.programs[c.Argv[0]]
	if p != nil {
		p.used = true
	}
	l.mu.Unlock()
	if p == nil {
		l.t.Errorf("hosttest: %s %v: no such program is installed", how, c)
		return "", host.NewCmdError(c, -1, "", host.ErrNoProgram)
	}
	answer := p.Look
	if how == "run" {
		answer = p.Run
	}
	reply, known := Reply{}, false
	if answer != nil {
		reply, known = answer(c)
	}
	switch {
	case !known:
		l.t.Errorf("hosttest: %s %v: the stand-in does not know this call", how, c)
		return "", host.NewCmdError(c, -1, "", fmt.Errorf("unknown to the stand-in"))
	case reply.Exit != 0:
		return "", host.NewCmdError(c, reply.Exit, reply.Stdout+reply.Stderr, fmt.Errorf("exit status %d", reply.Exit))
	}
	return reply.Stdout, nil
}
