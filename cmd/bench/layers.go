package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
)

const (
	bareRegistryArg = "-bare-registry"
	layerRounds     = 5
)

// layerBlock times layerBlocks is the layer, 1 GiB.
const (
	layerBlock  = 16 << 20
	layerBlocks = 64
)

// measureLayers pushes and pulls a layer over TLS (HTTP/1.1, as Docker does) at
// distribution's registry that serves TLS itself, and at the same registry behind
// the built-in edge and behind nginx. So TLS and the storage are in all three,
// and the ratio is the price of what is between. Rounds alternate; medians are
// compared.
func measureLayers(regctl, dir string) ([]row, error) {
	s, err := newLayerServers(regctl, filepath.Join(dir, "layers"))
	if err != nil {
		return nil, err
	}
	defer s.stop()
	layer := newLayer()
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range s.addrs {
			if !yield(name) {
				return
			}
		}
	})
	took := map[string][]float64{}
	for round := range layerRounds + 1 {
		for i := range names {
			name := names[(i+round)%len(names)] // none always comes after the same one
			push, pull, err := layer.transfer(s.addrs[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if round > 0 { // the first fills caches
				took[name+" push"] = append(took[name+" push"], push)
				took[name+" pull"] = append(took[name+" pull"], pull)
			}
		}
	}
	var rows []row
	for _, name := range names {
		if name == "bare" {
			continue
		}
		for _, way := range []string{"push", "pull"} {
			bare, through := median(took["bare "+way]), median(took[name+" "+way])
			rows = append(rows, row{
				fmt.Sprintf("%s of a 1 GiB layer through %s, against the bare registry's own TLS", way, name),
				"≥ 0.95 ×", fmt.Sprintf("**%.2f ×** (%.0f MB/s of %.0f MB/s)", bare/through, mbs(through), mbs(bare)),
			})
		}
	}
	return rows, nil
}

func mbs(seconds float64) float64 { return layerBlock * layerBlocks / 1e6 / seconds }

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// layer is what is pushed: one random block many times.
type layer struct {
	block  []byte
	digest string
}

func newLayer() *layer {
	l := &layer{block: make([]byte, layerBlock)}
	_, _ = rand.Read(l.block)
	sum := sha256.New()
	for range layerBlocks {
		sum.Write(l.block)
	}
	l.digest = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	return l
}

func (l *layer) reader() io.Reader {
	var parts []io.Reader
	for range layerBlocks {
		parts = append(parts, bytes.NewReader(l.block))
	}
	return io.MultiReader(parts...)
}

// transfer pushes the layer as Docker does, in one PATCH, pulls it and removes
// it. It returns the seconds of PATCH and commit, and of the pull.
func (l *layer) transfer(addr string) (push, pull float64, err error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "registry.test"}, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}}
	defer transport.CloseIdleConnections()
	base := "https://registry.test"
	do := func(method, url string, body io.Reader, want int) (*http.Response, error) {
		req, err := http.NewRequest(method, url, body)
		if err != nil {
			return nil, err
		}
		resp, err := transport.RoundTrip(req)
		if err == nil && resp.StatusCode != want {
			err = fmt.Errorf("%s %s: %s", method, url, resp.Status)
		}
		return resp, err
	}
	locate := func(resp *http.Response) string {
		at, err := resp.Location()
		if err != nil {
			return ""
		}
		return base + at.RequestURI()
	}
	resp, err := do(http.MethodPost, base+"/v2/bench/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return 0, 0, err
	}
	resp.Body.Close()
	began := time.Now()
	if resp, err = do(http.MethodPatch, locate(resp), l.reader(), http.StatusAccepted); err != nil {
		return 0, 0, err
	}
	resp.Body.Close()
	if resp, err = do(http.MethodPut, locate(resp)+"&digest="+l.digest, nil, http.StatusCreated); err != nil {
		return 0, 0, err
	}
	resp.Body.Close()
	push = time.Since(began).Seconds()

	began = time.Now()
	if resp, err = do(http.MethodGet, base+"/v2/bench/blobs/"+l.digest, nil, http.StatusOK); err != nil {
		return 0, 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 64<<10))
	resp.Body.Close()
	if err == nil && n != layerBlock*layerBlocks {
		err = fmt.Errorf("pulled %d bytes", n)
	}
	pull = time.Since(began).Seconds()
	if err == nil {
		if resp, err = do(http.MethodDelete, base+"/v2/bench/blobs/"+l.digest, nil, http.StatusAccepted); err == nil {
			resp.Body.Close()
		}
	}
	return push, pull, err
}

// layerServers are three ways to the same storage, by name.
type layerServers struct {
	addrs map[string]string
	stops []func()
}

func (s *layerServers) stop() {
	for _, stop := range s.stops {
		stop()
	}
}

func newLayerServers(regctl, dir string) (s *layerServers, err error) {
	for _, sub := range []string{"data", "acme", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeEdgePair(filepath.Join(dir, "pair.pem")); err != nil {
		return nil, err
	}
	s = &layerServers{addrs: map[string]string{}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, server := range []struct {
		name, program string
		args          func(config string) []string
		config        func(dir, addr string) string
	}{
		{"", regctl, func(c string) []string { return []string{"registry", "serve", c} }, socketRegistry},
		{"bare", self, func(c string) []string { return []string{bareRegistryArg, c} }, bareRegistry},
		{"the built-in edge", regctl, func(c string) []string { return []string{"edge", "serve", c} }, builtinEdge},
		{"nginx", "nginx", func(c string) []string { return []string{"-c", c} }, nginxEdge},
	} {
		program, err := exec.LookPath(server.program)
		if err != nil {
			return nil, fmt.Errorf("measuring layers (.ci/tools installs what is missing): %w", err)
		}
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		config := filepath.Join(dir, strings.ReplaceAll(server.name+"x.conf", " ", ""))
		if err := os.WriteFile(config, []byte(server.config(dir, addr)), 0o600); err != nil {
			return nil, err
		}
		_, _, stop, err := start(program, server.args(config)...)
		if err != nil {
			return nil, err
		}
		s.stops = append(s.stops, stop)
		if server.name == "" {
			err = waitForFile(filepath.Join(dir, "registry.sock"))
		} else {
			s.addrs[server.name] = addr
			err = waitForTLS(addr)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func waitForFile(path string) error {
	return waitUntil(path, func() error { _, err := os.Stat(path); return err })
}

func waitForTLS(addr string) error {
	return waitUntil(addr, func() error {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "registry.test"})
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func waitUntil(what string, look func() error) (err error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = look(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is not there: %w", what, err)
}

func registryConfig(dir, http string) string {
	return fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}, maintenance: {uploadpurging: {enabled: false}}}\n"+
		"http: {secret: bench, relativeurls: true, %s}\n", dir, http)
}

func socketRegistry(dir, _ string) string {
	return registryConfig(dir, "net: unix, addr: "+dir+"/registry.sock")
}

func bareRegistry(dir, addr string) string {
	return registryConfig(dir, fmt.Sprintf("addr: %q, tls: {certificate: %[2]s/pair.pem, key: %[2]s/pair.pem}", addr, dir))
}

func builtinEdge(dir, addr string) string {
	return fmt.Sprintf("http: ['127.0.0.1:0']\nhttps: ['%s']\nhost: registry.test\nhttps_port: 443\nprofile: intermediate\n"+
		"certificates: {registry.test: %[2]s/pair.pem}\nregistry_socket: %[2]s/registry.sock\nauth_socket: %[2]s/none.sock\nacme_webroot: %[2]s/acme\n", addr, dir)
}

// nginxEdge is the part of our nginx configuration that a layer passes.
func nginxEdge(dir, addr string) string {
	return fmt.Sprintf(`user root; daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers off; ssl_session_tickets off;
  upstream registry { server unix:%[1]s/registry.sock; keepalive 32; }
  server {
    listen %[2]s ssl; server_name registry.test;
    ssl_certificate %[1]s/pair.pem; ssl_certificate_key %[1]s/pair.pem;
    client_max_body_size 0; client_body_buffer_size 512k; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    location /v2/ {
      proxy_request_buffering off; proxy_read_timeout 900s; proxy_send_timeout 900s;
      proxy_buffering on; proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
      proxy_pass http://registry;
    }
  }
}
`, dir, addr)
}

// writeEdgePair writes a key and its certificate into one file.
func writeEdgePair(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"registry.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...), 0o600)
}

// serveBareRegistry is the reference: distribution's registry with net/http's
// own TLS, as its program has it.
func serveBareRegistry(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	config, err := configuration.Parse(file)
	if err != nil {
		return err
	}
	logrus.SetOutput(io.Discard)
	srv := &http.Server{Addr: config.HTTP.Addr, Handler: handlers.NewApp(context.Background(), config)}
	if err := srv.ListenAndServeTLS(config.HTTP.TLS.Certificate, config.HTTP.TLS.Key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
