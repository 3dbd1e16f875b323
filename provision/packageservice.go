package provision

import (
	"context"
	"fmt"
	"time"

	"regctl/provision/host"
	"regctl/provision/step"
)

const (
	// engineLimit is how long an engine may take to answer after its start. The
	// first one makes its directories and tables of the packet filter.
	engineLimit = 90 * time.Second
	engineAgain = 250 * time.Millisecond
)

// stopped are the services that shall run and do not.
func (p packages) stopped(ctx context.Context, l host.Looker) (names []string, err error) {
	if isPackaged(p.EngineHost) && p.Ping(ctx) != nil {
		names = append(names, dockerService)
	}
	systemd, err := hasSystemd(l)
	if err != nil {
		return nil, err
	}
	for _, name := range p.Services {
		look := host.Command("service", name, "status")
		if systemd {
			look = host.Command("systemctl", "is-active", "--quiet", name)
		}
		_, err := l.Look(ctx, look)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case host.ExitStatus(err) < 0:
			return nil, fmt.Errorf("asking whether %s runs: %w", name, err)
		case err != nil:
			names = append(names, name)
		}
	}
	return names, nil
}

// startService starts a service, now and whenever the host starts.
func startService(ctx context.Context, m host.Machine, name string) error {
	systemd, err := hasSystemd(m)
	if err != nil {
		return err
	}
	commands := []host.Cmd{host.Command("update-rc.d", name, "defaults"), host.Command("service", name, "start")}
	if systemd {
		commands = []host.Cmd{host.Command("systemctl", "enable", "--now", name)}
	}
	for _, c := range commands {
		if _, err := m.Run(ctx, c); err != nil {
			return &PackageError{fmt.Errorf("starting %s: %w", name, err), whyStopped(systemd, name)}
		}
	}
	return nil
}

func whyStopped(systemd bool, name string) string {
	if systemd {
		return "see why: journalctl -u " + name
	}
	return "see why: tail /var/log/" + name + ".log"
}

// awaitEngine returns when the engine answers.
func (p packages) awaitEngine(ctx context.Context, l host.Looker) error {
	step.Report(ctx, step.Progress{Text: "waiting for the engine to answer"})
	over := time.After(engineLimit)
	for {
		err := p.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			systemd, _ := hasSystemd(l)
			return &PackageError{fmt.Errorf("waiting %s for the engine that was started: %w", engineLimit, err), whyStopped(systemd, dockerService)}
		case <-time.After(engineAgain):
		}
	}
}
