package stack

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"regctl/provision/step"
)

// What ServiceHealth.Health may be.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
	Starting  = "starting" // it runs, and its first health check has not succeeded yet
	Unchecked = ""         // it has no health check, or does not run
)

// ServiceHealth is how a service's container is.
type ServiceHealth struct {
	Service  string    `json:"service"`
	State    string    `json:"state"`             // of the container: running, exited, restarting, created, paused, dead
	Health   string    `json:"health,omitempty"`  // one of the constants
	ExitCode int       `json:"exit_code"`         // of its last end
	Restarts int       `json:"restarts"`          // by the engine since the container was made
	Since    time.Time `json:"since,omitzero"`    // of the state: when it started or ended
	Image    string    `json:"image"`             // reference it was made of
	Drifted  bool      `json:"drifted,omitempty"` // that reference is another image by now
	Detail   string    `json:"detail,omitempty"`  // what the last health check said, when it failed
	// Published are the host's addresses that lead into it: 0.0.0.0:27017.
	Published []string `json:"published,omitempty"`
}

// OK reports whether the service does its work, as far as can be known.
func (h ServiceHealth) OK() bool {
	return h.State == container.StateRunning && (h.Health == Healthy || h.Health == Unchecked)
}

// String is for people: "nginx is not running (exited with status 1)".
func (h ServiceHealth) String() string {
	switch {
	case h.State == container.StateExited:
		return fmt.Sprintf("%s is not running (exited with status %d)", h.Service, h.ExitCode)
	case h.State == container.StateRestarting:
		return fmt.Sprintf("%s ends and is restarted again and again (exited with status %d)", h.Service, h.ExitCode)
	case h.State != container.StateRunning:
		return fmt.Sprintf("%s is not running (%s)", h.Service, h.State)
	case h.Health == Unhealthy && h.Detail != "":
		return fmt.Sprintf("%s: unhealthy (%s)", h.Service, h.Detail)
	case h.Health == Unchecked:
		return h.Service + " is running"
	}
	return h.Service + ": " + h.Health
}

// Health asks how the services of a project are, sorted by name. None there is
// an empty list.
func (e *Engine) Health(ctx context.Context, p Project) ([]ServiceHealth, error) {
	if err := e.Ping(ctx); err != nil {
		return nil, err
	}
	list, err := e.containers(ctx, p)
	if err != nil {
		return nil, err
	}
	var all []ServiceHealth
	for _, c := range list {
		h, err := e.healthOf(ctx, c.ID)
		if cerrdefs.IsNotFound(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b ServiceHealth) int { return cmp.Compare(a.Service, b.Service) })
	return all, nil
}

func (e *Engine) healthOf(ctx context.Context, id string) (ServiceHealth, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return ServiceHealth{}, err
	}
	h := ServiceHealth{
		Service: c.Config.Labels[api.ServiceLabel], State: c.State.Status,
		ExitCode: c.State.ExitCode, Restarts: c.RestartCount, Image: c.Config.Image,
	}
	since := c.State.FinishedAt
	if c.State.Running {
		since = c.State.StartedAt
	}
	if t, err := time.Parse(time.RFC3339Nano, since); err == nil && t.Year() > 1 {
		h.Since = t
	}
	if c.State.Health != nil && c.State.Running && c.State.Health.Status != container.NoHealthcheck {
		h.Health = c.State.Health.Status
		if log := c.State.Health.Log; h.Health != Healthy && len(log) > 0 {
			h.Detail = lastLine(log[len(log)-1].Output)
		}
	}
	for _, ports := range c.NetworkSettings.Ports {
		for _, p := range ports {
			h.Published = append(h.Published, net.JoinHostPort(p.HostIP, p.HostPort))
		}
	}
	wanted, _, err := e.imageOf(ctx, c.Config.Image)
	h.Drifted = wanted != "" && wanted != c.Image
	return h, err
}

// tries is how often a container may end before it counts as broken.
const tries = 3

// healthPoll is how often [Engine.WaitHealthy] looks.
const healthPoll = 200 * time.Millisecond

// WaitHealthy waits until all services of a project are healthy, or run if
// they have no health check. It fails early when one is unhealthy or has
// ended for good, with the last lines of its log.
func (e *Engine) WaitHealthy(ctx context.Context, p Project, limit time.Duration) error {
	over := time.After(limit)
	for {
		all, err := e.Health(ctx, p)
		if err != nil {
			return err
		}
		var waiting []string
		for _, h := range all {
			switch {
			case h.OK():
			case h.Health == Starting, h.State == container.StateRestarting && h.Restarts < tries:
				waiting = append(waiting, h.Service)
			default:
				return e.explain(ctx, p, errors.New(h.String()))
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		step.Report(ctx, step.Progress{
			Text: "waiting for " + strings.Join(waiting, ", "),
			Done: int64(len(all) - len(waiting)), Total: int64(len(all)),
		})
		select {
		case <-over:
			return e.explain(ctx, p, fmt.Errorf("not healthy after %s: %s", limit, strings.Join(waiting, ", ")))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(healthPoll):
		}
	}
}

// explain adds to an error what the services that are not well have said last.
func (e *Engine) explain(ctx context.Context, p Project, err error) error {
	if ctx.Err() != nil {
		return err
	}
	all, failed := e.Health(ctx, p)
	if failed != nil {
		return err
	}
	var said strings.Builder
	for _, h := range all {
		if h.OK() {
			continue
		}
		if text := e.lastLog(ctx, p, h.Service); text != "" {
			fmt.Fprintf(&said, "\n%s says: %s", h.Service, text)
		}
	}
	if said.Len() == 0 {
		return err
	}
	return fmt.Errorf("%w%s", err, said.String())
}

// explainLines is how much of a log an error shows.
const explainLines = "5"

func (e *Engine) lastLog(ctx context.Context, p Project, service string) string {
	c, err := e.serviceContainer(ctx, p, service)
	if err != nil {
		return ""
	}
	logs, err := e.api.ContainerLogs(ctx, c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: explainLines})
	if err != nil {
		return ""
	}
	defer logs.Close()
	var out bytes.Buffer
	stdcopy.StdCopy(&out, &out, logs) // what came before an error is better than nothing
	return strings.TrimSpace(out.String())
}

// lastLine is the last line of a text that is not empty.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
