package stack

import (
	"context"
	"strings"
	"sync"

	"github.com/docker/compose/v5/pkg/api"
)

// LogOptions say what part of the logs is wanted.
type LogOptions struct {
	Services []string // none: all
	Follow   bool     // go on until ctx ends
	Tail     string   // "all" or this many last lines of each service
	Since    string   // a time as in RFC 3339, or a duration before now: "10m"
}

// Logs hands over the lines that the containers have printed, one at a time,
// each with the service it is from. They hold whatever clients have sent.
func (e *Engine) Logs(ctx context.Context, p Project, o LogOptions, line func(service, text string)) error {
	if err := e.known(ctx, p, o.Services); err != nil {
		return err
	}
	return e.operate(ctx, p, "reading the logs of", func(sdk api.Compose) error {
		return sdk.Logs(ctx, p.Name, &lines{line: line}, api.LogOptions{
			Services: o.Services, Follow: o.Follow, Tail: o.Tail, Since: o.Since,
		})
	})
}

// lines implements [api.LogConsumer].
type lines struct {
	mu   sync.Mutex
	line func(service, text string)
}

func (l *lines) Log(container, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(strings.TrimSuffix(container, "-1"), text) // each service has one
}

func (l *lines) Err(container, text string) { l.Log(container, text) }

// Status tells that a container was started or stopped; its own log shows it.
func (*lines) Status(string, string) {}
