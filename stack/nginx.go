package stack

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// versionLimit is how long a container may take to say its version.
const versionLimit = time.Minute

// NginxVersion runs `nginx -V` of an image, in a container without a network
// that is removed afterwards: ("1.30.6", "3.5.4"). OpenSSL's version is empty
// for a build with another library. The image must be on the host.
func (e *Engine) NginxVersion(ctx context.Context, image string) (nginx, openssl string, err error) {
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	said, err := e.runOnce(ctx, &container.Config{
		Image: image, Entrypoint: []string{"nginx"}, Cmd: []string{"-V"},
		NetworkDisabled: true, User: "101:101",
	})
	if err != nil {
		return "", "", fmt.Errorf("asking image %s for nginx's version: %w", image, err)
	}
	nginx = versionAfter(said, `nginx version: \S+/`)
	if nginx == "" {
		return "", "", fmt.Errorf("asking image %s for nginx's version: nginx -V says %q", image, said)
	}
	return nginx, versionAfter(said, `OpenSSL `), nil
}

func versionAfter(text, pattern string) string {
	found := regexp.MustCompile(pattern + `(\d+(?:\.\d+)+)`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// runOnce runs a container to its end, removes it, and returns what it said.
func (e *Engine) runOnce(ctx context.Context, c *container.Config) (said string, err error) {
	made, err := e.api.ContainerCreate(ctx, c, &container.HostConfig{
		NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges"},
	}, nil, nil, "")
	if err != nil {
		return "", err
	}
	// Also after the end of ctx, or the container would stay.
	defer e.api.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})

	ended, failed := e.api.ContainerWait(ctx, made.ID, container.WaitConditionNextExit)
	if err := e.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return "", err
	}
	var status int64
	select {
	case end := <-ended:
		status = end.StatusCode
	case err := <-failed:
		return "", err
	}
	logs, err := e.api.ContainerLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", err
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		return "", err
	}
	if status != 0 {
		return "", fmt.Errorf("exit status %d: %s", status, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), nil
}
