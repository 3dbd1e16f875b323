package templates_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"regctl/templates"
)

// An upload reaches the registry while it comes, whatever HTTP the client speaks.
func TestNginxStreamsUploads(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		type seen struct {
			encoding []string
			first    string
		}
		early := make(chan seen, 1)
		r.backend("registry", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			first := make([]byte, 5)
			if _, err := io.ReadFull(req.Body, first); err != nil {
				t.Error(err)
			}
			early <- seen{req.TransferEncoding, string(first)}
			rest, err := io.Copy(io.Discard, req.Body)
			fmt.Fprint(w, rest, err)
		}))
		upload := func(http2 bool) {
			body, client := io.Pipe()
			var sending sync.WaitGroup
			defer sending.Wait()
			defer body.Close()
			sending.Go(func() {
				defer client.Close()
				if _, err := io.WriteString(client, "first"); err != nil {
					return // what is wrong is told below
				}
				select {
				case got := <-early:
					if got.first != "first" || !slices.Equal(got.encoding, []string{"chunked"}) {
						t.Errorf("http2 %v: the registry saw %+v", http2, got)
					}
				case <-time.After(patience):
					t.Errorf("http2 %v: the registry saw nothing before the end of the upload", http2)
				}
				_, _ = client.Write(make([]byte, 8<<20)) // how much arrives is checked below
			})
			got := ask(t, r.client(http2), "PATCH", fmt.Sprintf("https://registry.test:%d/v2/x", r.HTTPSPort), body, nil)
			if want := fmt.Sprint(8<<20, error(nil)); got.body != want {
				t.Errorf("http2 %v: %s %q, want %q", http2, got.Status, got.body, want)
			}
		}
		upload(false)
		upload(true)
		r.noTempFiles()
	})
}

// nginx says so when it writes a body to a file.
func (r *running) noTempFiles() {
	r.t.Helper()
	if said := r.errors(); strings.Contains(said, "temporary file") {
		r.t.Errorf("nginx wrote a temporary file: %s", said)
	}
}

func TestNginxWritesNoFiles(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		const size = 64 << 20
		var sent atomic.Int64
		r.backend("registry", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 1<<20)
			for range size / len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
				sent.Add(int64(len(block)))
			}
		}))
		r.backend("auth", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n, err := io.Copy(io.Discard, req.Body)
			fmt.Fprintln(w, n, err)
		}))
		at := fmt.Sprintf("https://registry.test:%d", r.HTTPSPort)
		for _, http2 := range []bool{false, true} {
			client := r.client(http2)
			if got := ask(t, client, "POST", at+"/auth", bytes.NewReader(make([]byte, 32<<10)), nil); got.body != fmt.Sprintln(32<<10, nil) {
				t.Errorf("form: %s %q", got.Status, got.body)
			}
			// Before 1.21.2 nginx writes bodies of unknown length that come over
			// HTTP/2 to its file whatever their size. Here that is in memory.
			old := (templates.Data{NginxVersion: version}).NginxBefore("1.21.2")
			if old && http2 {
				t.Log("no form of unknown length over HTTP/2")
			} else if got := ask(t, client, "POST", at+"/auth", io.MultiReader(bytes.NewReader(make([]byte, 32<<10))), nil); got.body != fmt.Sprintln(32<<10, nil) {
				t.Errorf("chunked form: %s %q", got.Status, got.body)
			}
			sent.Store(0)
			resp, err := client.Get(at + "/v2/blob")
			if err != nil {
				t.Fatal(err)
			}
			// This client takes nothing until the registry is held up. If it never
			// is, its answer must be somewhere.
			before := int64(-1)
			for now := sent.Load(); now != before; now = sent.Load() {
				before = now
				time.Sleep(100 * time.Millisecond)
			}
			if before == size {
				t.Errorf("nginx took all %d bytes before the client did", size)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if n != size || err != nil {
				t.Errorf("download: %d bytes, %v", n, err)
			}
		}
		r.noTempFiles()
	})
}

// Connections to the registry last, and a new registry is found at once.
func TestNginxKeepsConnections(t *testing.T) {
	eachNginx(t, func(t *testing.T, version, program string) {
		r := serve(t, minimal(), version, program)
		var mu sync.Mutex
		peers := map[net.Conn]bool{}
		client := r.client(true)
		url := fmt.Sprintf("https://registry.test:%d/v2/", r.HTTPSPort)
		for range 3 {
			stop := r.backendServer("registry", &http.Server{
				Handler: named("registry"),
				ConnContext: func(ctx context.Context, c net.Conn) context.Context {
					mu.Lock()
					defer mu.Unlock()
					peers[c] = true
					return ctx
				},
			})
			for range 20 {
				if got := ask(t, client, "GET", url, nil, nil); got.StatusCode != http.StatusOK {
					t.Errorf("%s", got.Status)
				}
			}
			stop()
		}
		mu.Lock()
		defer mu.Unlock()
		if len(peers) > 6 { // one for each registry, and perhaps one that broke off
			t.Errorf("60 requests made %d connections", len(peers))
		}
	})
}
