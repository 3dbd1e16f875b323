package stacktest

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"bytes"
)

// Run runs an image with these arguments in a container without a network, and
// returns what it printed. A status other than 0 is an error.
func Run(t testing.TB, dockerHost, image string, argv ...string) (string, error) {
	t.Helper()
	c := Client(t, dockerHost)
	made, err := c.ContainerCreate(t.Context(), &container.Config{Image: image, Cmd: argv},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		return "", err
	}
	defer c.ContainerRemove(context.WithoutCancel(t.Context()), made.ID, container.RemoveOptions{Force: true})
	ended, failed := c.ContainerWait(t.Context(), made.ID, container.WaitConditionNextExit)
	if err := c.ContainerStart(t.Context(), made.ID, container.StartOptions{}); err != nil {
		return "", err
	}
	var status int64
	select {
	case end := <-ended:
		status = end.StatusCode
	case err := <-failed:
		return "", err
	}
	logs, err := c.ContainerLogs(t.Context(), made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", err
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Writer(&out), logs); err != nil {
		return "", err
	}
	if status != 0 {
		return out.String(), fmt.Errorf("exit status %d", status)
	}
	return out.String(), nil
}
