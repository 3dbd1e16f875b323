package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"regctl/stack/auth"
)

// healthTimeout is less than the timeout that a container's health check has.
const healthTimeout = 5 * time.Second

func newHealthcheckCmd() *cobra.Command {
	var socket, connect string
	cmd := &cobra.Command{
		Use:    "healthcheck URL",
		Short:  "ask a server in a container whether it serves",
		Hidden: true, // for compose.yaml
		Long: `Ask for URL once, for at most 5 seconds. Any answer below 500 is a healthy one; a
redirection is not followed. With tcp://HOST:PORT a connection is enough.

Certificates are not verified. The question is whether this server speaks TLS for
this name; whether clients trust it is for regctl status, and a container that is
replaced because its certificate expired would serve the same one. Nothing secret
is sent, and nothing of the answer is used but its status.`,
		Example: `  regctl healthcheck --socket /srv/regctl/run/registry/registry.sock http://registry/
  regctl healthcheck --connect 127.0.0.1:443 https://registry.example.com/`,
		Args:        wantArgs("URL"),
		Annotations: exits("0 healthy", "1 unhealthy", codeUsage),
		RunE: func(cmd *cobra.Command, args []string) error {
			if socket != "" && connect != "" {
				return usageError(seeHelp(cmd), "--socket and --connect exclude each other")
			}
			target, err := url.Parse(args[0])
			if err != nil || target.Host == "" || !slices.Contains([]string{"http", "https", "tcp"}, target.Scheme) {
				return usageError(seeHelp(cmd), "%q is no http, https or tcp URL", args[0])
			}
			return healthcheck(cmd.Context(), target, socket, connect)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "`PATH` of the unix socket to connect to")
	cmd.Flags().StringVar(&connect, "connect", "", "`HOST:PORT` to connect to instead of the URL's")
	return cmd
}

func healthcheck(ctx context.Context, target *url.URL, socket, connect string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if target.Scheme == "tcp" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.Host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "regctl-healthcheck")
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if socket != "" {
				return auth.DialUnix(ctx, socket)
			}
			if connect != "" {
				addr = connect
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	resp, err := transport.RoundTrip(req) // follows no redirection
	if err != nil {
		return fmt.Errorf("asking for %s: %w", target.Redacted(), err)
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("asking for %s: %s", target.Redacted(), resp.Status)
	}
	return nil
}
