package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// reloadLimit is how long nginx may take to start workers with a new
// configuration; it takes milliseconds.
const reloadLimit = 10 * time.Second

// Edge is the service that answers clients.
type Edge struct {
	Service string // in compose.yaml
	Builtin bool   // it is regctl's own program, not nginx
}

// ReloadEdge has the edge read its configuration and certificates again,
// without dropping a connection. Nginx tests them first; if it does not accept
// them, or cannot use them, the old ones stay in use, and the error carries
// what nginx said.
func (e *Engine) ReloadEdge(ctx context.Context, p Project, edge Edge) error {
	c, err := e.serviceContainer(ctx, p, edge.Service)
	if err != nil {
		return fmt.Errorf("reloading the edge: %w", err)
	}
	if c.State != container.StateRunning {
		return fmt.Errorf("reloading the edge: service %s is not running (%s): regctl up starts it", edge.Service, c.State)
	}
	if edge.Builtin {
		return nil // it looks at its certificates every second
	}
	if said, err := e.exec(ctx, c.ID, "nginx", "-t"); err != nil {
		return fmt.Errorf("reloading nginx: it refuses its configuration: %w: %s", err, strings.TrimSpace(said))
	}
	return e.reloadNginx(ctx, c.ID)
}

// reloadNginx signals the master and waits for a worker that was not there
// before. `nginx -t` does not find everything: a port that someone else has
// only shows now.
func (e *Engine) reloadNginx(ctx context.Context, id string) error {
	before, err := e.workers(ctx, id)
	if err != nil {
		return err
	}
	since := time.Now()
	if err := e.hangUp(ctx, id); err != nil {
		return err
	}
	over := time.After(reloadLimit)
	for {
		now, err := e.workers(ctx, id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(now, func(pid string) bool { return !slices.Contains(before, pid) }) {
			return nil
		}
		problems, final, err := e.problems(ctx, id, since)
		if err != nil {
			return err
		}
		if final {
			return fmt.Errorf("reloading nginx: it goes on with its old configuration: %s", strings.Join(problems, "; "))
		}
		select {
		case <-over:
			return fmt.Errorf("reloading nginx: no new worker after %s: %s", reloadLimit, strings.Join(problems, "; "))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// hangUp tells nginx's master. Not by the engine's own kill: after any signal, the
// engine takes a container for one that was stopped by hand, and does not start it
// again with itself (killWithSignal in moby's daemon/kill.go).
func (e *Engine) hangUp(ctx context.Context, id string) error {
	if said, err := e.exec(ctx, id, "nginx", "-s", "reload"); err != nil {
		return fmt.Errorf("reloading nginx: %w: %s", err, strings.TrimSpace(said))
	}
	return nil
}

// workers are the process ids of nginx's workers, on the host.
func (e *Engine) workers(ctx context.Context, id string) ([]string, error) {
	top, err := e.api.ContainerTop(ctx, id, []string{"-o", "pid,args"})
	if err != nil {
		return nil, fmt.Errorf("reloading nginx: looking for its workers: %w", err)
	}
	var pids []string
	for _, process := range top.Processes {
		if len(process) == 2 && strings.HasPrefix(process[1], "nginx: worker process") {
			pids = append(pids, process[0])
		}
	}
	return pids, nil
}

// problems are what nginx has called an emergency since then, each once. Final
// is that it has given up: it tries five times to get an address that another
// program has (ngx_open_listening_sockets), and says "bind() to" each time.
func (e *Engine) problems(ctx context.Context, id string, since time.Time) (said []string, final bool, err error) {
	logs, err := e.api.ContainerLogs(ctx, id, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()),
	})
	if err != nil {
		return nil, false, fmt.Errorf("reloading nginx: reading its log: %w", err)
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		return nil, false, fmt.Errorf("reloading nginx: reading its log: %w", err)
	}
	for line := range strings.Lines(out.String()) {
		_, text, ok := strings.Cut(line, "[emerg] ")
		if _, after, numbered := strings.Cut(text, ": "); numbered { // "1#1: bind() to"
			text = strings.TrimSpace(after)
		}
		if ok && !slices.Contains(said, text) {
			said = append(said, text)
			final = final || !strings.HasPrefix(text, "bind() to ")
		}
	}
	return said, final, nil
}

// exec runs a program in a container and returns what it printed.
func (e *Engine) exec(ctx context.Context, id string, argv ...string) (said string, err error) {
	made, err := e.api.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", err
	}
	stream, err := e.api.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Close)()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, stream.Reader); err != nil {
		return "", errors.Join(context.Cause(ctx), err)
	}
	ended, err := e.api.ContainerExecInspect(ctx, made.ID)
	if err == nil && ended.ExitCode != 0 {
		err = fmt.Errorf("exit status %d", ended.ExitCode)
	}
	return out.String(), err
}
