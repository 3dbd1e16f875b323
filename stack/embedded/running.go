package embedded

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"regctl/provision/host"
)

// Running tells commands on the same machine how to reach a stack that serves.
// It is kept in Dir/run/serve.json and may be stale: a killed process leaves it.
type Running struct {
	URL     string `json:"url"`
	Address string `json:"address"` // to connect to, whatever the URL's name resolves to
	Service string `json:"service"` // the audience of tokens
	CAFile  string `json:"ca_file,omitempty"`
}

func runningFile(dir string) string { return filepath.Join(dir, "run", "serve.json") }

// ReadRunning returns how the stack of the installation in dir was reached when
// it became ready last.
func ReadRunning(dir string) (Running, error) {
	var r Running
	text, err := os.ReadFile(runningFile(dir))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Running{}, fmt.Errorf("reading where the stack serves: %w", err)
	}
	return r, nil
}

func (r Running) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := (host.Local{}).WriteFile(runningFile(dir), host.File{Content: text, Mode: 0o600}); err != nil {
		return fmt.Errorf("writing where the stack serves: %w", err)
	}
	return nil
}
