package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/compose/v5/pkg/api"

	"regctl/provision/step"
)

// events passes what the compose SDK tells on to whoever watches ctx. It
// implements [api.EventProcessor].
type events struct{ ctx context.Context }

func (events) Start(context.Context, string) {}
func (events) Done(string, bool)             {}

// On reports "container regctl-nginx-1: starting".
func (e events) On(all ...api.Resource) {
	for _, r := range all {
		text := strings.ToLower(r.Text)
		if r.Details != "" {
			text += ": " + r.Details
		}
		kind, name, _ := strings.Cut(r.ID, " ") // "Container regctl-nginx-1"
		step.Report(e.ctx, step.Progress{Text: fmt.Sprintf("%s %s: %s", strings.ToLower(kind), name, text)})
	}
}

// message is one line of the engine's answer to a pull or a load.
type message struct {
	ID       string `json:"id"` // of a layer
	Status   string `json:"status"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error string `json:"error"`
}

// readProgress hands over each message up to the end. A message about an error
// is the error: the status of the answer was sent before it was known.
func readProgress(r io.Reader, each func(message)) error {
	for d := json.NewDecoder(r); ; {
		var m message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		each(m)
	}
}
