package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// Not parallel: it counts goroutines.
func TestHostileClientsOfTwins(t *testing.T) {
	s := twinsIn(t)
	s.auth = daemonOf(t, s.program, containerUser, "auth", "serve", filepath.Join(s.dir, "auth/auth_config.yml"))
	s.startRegistry()
	_, stop := inProcess(t, found(`msg=(serving) `), "edge", "serve", filepath.Join(s.dir, "nginx/edge.yaml"))
	defer stop()
	// Each connection comes from an address of its own: the limit of token
	// requests is not what this is about.
	var last int
	dial := func(addr string, secure bool) dialer {
		return func() (net.Conn, error) {
			last++
			d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(last>>8), byte(last))}}
			if secure {
				return tls.DialWithDialer(d, "tcp", addr, &tls.Config{RootCAs: s.ca.roots, ServerName: "registry.test"})
			}
			return d.Dial("tcp", addr)
		}
	}
	const host = "Host: registry.test\r\n"
	const idle = 2 * 64 * 2 // two upstreams, connections, goroutines of each
	attack(t, dial(s.https, true), idle, []raw{
		{"GET /v2/ HTTP/1.1\r\n" + host + "\r\n", 401},
		{"GET /v2/ HTTP/1.1\r\n" + host + "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 401},
		{"GET /v2/ HTTP/1.1\r\n" + host + "Connection: X-Forwarded-Proto\r\nTE: trailers\r\n\r\n", 401},
		{"GET /v2/../auth HTTP/1.1\r\n" + host + "\r\n", 0},
		{"GET /v2/..%2fauth HTTP/1.1\r\n" + host + "\r\n", 0},
		{"GET /v2/%00/tags/list HTTP/1.1\r\n" + host + "\r\n", 0},
		{"PATCH /v2/x/blobs/uploads/1?_state=%00%ff;%zz HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", 401},
		{"GET http://evil.test/v2/ HTTP/1.1\r\n" + host + "\r\n", 421},
		{"GET /v2/ HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: registry.test\r\n\r\n", 421},
		{"CONNECT registry.test:22 HTTP/1.1\r\nHost: registry.test:22\r\n\r\n", 404},
		{"CONNECT evil.test:22 HTTP/1.1\r\nHost: evil.test:22\r\n\r\n", 421},
		{"GET /v2/ HTTP/1.1\r\n" + host + "Authorization: Bearer " + fmt.Sprintf("%020000d", 0) + "\r\n\r\n", 401},
	})
	for _, r := range []raw{
		{"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 301},
		{"GET http://evil.test/x HTTP/1.1\r\n" + host + "\r\n", 301},
		{"GET //evil.test/ HTTP/1.1\r\n\r\n", 400},
		{"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 301},
		{"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", 200}, // net/http's own answer
		{"GET /.well-known/acme-challenge/../../../../etc/passwd HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /.well-known/acme-challenge/%2e%2e%2f%2e%2e%2fx HTTP/1.1\r\n" + host + "\r\n", 404},
		{"GET /.well-known/acme-challenge/ HTTP/1.1\r\n" + host + "\r\n", 404},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400},
	} {
		ask(t, dial(s.http, false), r)
	}
}
