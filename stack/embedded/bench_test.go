package embedded

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"regctl/stack/auth"
)

const benchLayer = 64 << 20

// BenchmarkLayer pushes and pulls a layer of 256 MiB over TLS (HTTP/1.1, as
// Docker does), in turns through the edge and its unix socket and at the bare
// registry, and reports the edge's speed as a part of the bare registry's (1 =
// the same), from the medians: use 10 turns or more. All is one process here;
// cmd/bench has one for each.
func BenchmarkLayer(b *testing.B) {
	dir := b.TempDir()
	issuer, bundle := newIssuer(b, dir)
	log := slog.New(slog.DiscardHandler)
	registry, err := OpenRegistry(RegistryOptions{
		Dir: dir, Service: testService, Issuer: testIssuer, SigningBundle: bundle, Log: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer registry.Close()
	bare := httptest.NewTLSServer(registry)
	defer bare.Close()
	socket := filepath.Join(dir, "registry.sock")
	ln, err := auth.ListenUnix(socket, 0)
	if err != nil {
		b.Fatal(err)
	}
	behind := newServer(registry, nil, log)
	go func() { _ = behind.serve(ln) }()
	defer behind.stop(0)
	up := &upstream{name: "registry", socket: socket, answer: stallLimit, log: log}
	edge := httptest.NewUnstartedServer(nil)
	edge.Config = &newServer(NewEdge(EdgeOptions{Registry: up.handler(), Auth: issuer, Log: log}), nil, log).Server
	edge.StartTLS()
	defer edge.Close()
	http.DefaultTransport.(*http.Transport).TLSClientConfig = bare.Client().Transport.(*http.Transport).TLSClientConfig

	layer := make([]byte, benchLayer)
	_, _ = rand.Read(layer)
	path := fmt.Sprintf("/v2/bench/blobs/sha256:%x", sha256.Sum256(layer))
	push := func(url string) { pushLayer(b, url, issuer.token("repository:bench:*"), path, layer) }
	pull := func(url string) {
		resp := benchDo(b, issuer.token("repository:bench:*"), http.MethodGet, url+path, nil, http.StatusOK)
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || n != benchLayer {
			b.Fatalf("pulled %d bytes, %v", n, err)
		}
		resp.Body.Close()
	}
	for name, transfer := range map[string]func(string){"push": push, "pull": pull} {
		b.Run(name, func(b *testing.B) {
			var viaEdge, atBare, cpuEdge, cpuBare []time.Duration
			push(bare.URL) // something to pull, and a warm cache
			b.SetBytes(2 * benchLayer)
			for i := 0; b.Loop(); i++ {
				var wall, cpu time.Duration
				if i%2 == 0 { // neither always comes second
					wall, cpu = timed(transfer, bare.URL)
					atBare, cpuBare = append(atBare, wall), append(cpuBare, cpu)
				}
				wall, cpu = timed(transfer, edge.URL)
				viaEdge, cpuEdge = append(viaEdge, wall), append(cpuEdge, cpu)
				if i%2 == 1 {
					wall, cpu = timed(transfer, bare.URL)
					atBare, cpuBare = append(atBare, wall), append(cpuBare, cpu)
				}
			}
			b.ReportMetric(median(atBare).Seconds()/median(viaEdge).Seconds(), "edge/bare")
			// What is used up, client included: other load does not disturb it.
			b.ReportMetric(median(cpuBare).Seconds()/median(cpuEdge).Seconds(), "edge/bare-cpu")
		})
	}
}

// timed returns how long a transfer takes, and the processor's time in it.
func timed(transfer func(string), url string) (wall, cpu time.Duration) {
	start, used := time.Now(), processTime()
	transfer(url)
	return time.Since(start), processTime() - used
}

func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// median is what a busy machine disturbs least.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// pushLayer uploads layer as Docker does, in one PATCH, after removing it.
func pushLayer(b *testing.B, url, token, path string, layer []byte) {
	benchDo(b, token, http.MethodDelete, url+path, nil, 0).Body.Close()
	resp := benchDo(b, token, http.MethodPost, url+"/v2/bench/blobs/uploads/", nil, http.StatusAccepted)
	resp.Body.Close()
	resp = benchDo(b, token, http.MethodPatch, resp.Header.Get("Location"), layer, http.StatusAccepted)
	resp.Body.Close()
	done := resp.Header.Get("Location") + "&digest=" + path[len("/v2/bench/blobs/"):]
	benchDo(b, token, http.MethodPut, done, nil, http.StatusCreated).Body.Close()
}

// benchDo makes a request and checks the status of its answer, unless want is 0.
func benchDo(b *testing.B, token, method, url string, body []byte, want int) *http.Response {
	req, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if want != 0 && resp.StatusCode != want {
		b.Fatalf("%s %s: %s", method, url, resp.Status)
	}
	return resp
}

// BenchmarkReady starts a stack in a new directory, keys included, until it has
// answered its first request, and stops it.
func BenchmarkReady(b *testing.B) {
	var ready time.Duration
	for b.Loop() {
		begin := time.Now()
		s := start(b, func(o *Options) { o.Logger = slog.New(slog.DiscardHandler) })
		ready += time.Since(begin)
		s.cancel()
		if err := <-s.done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms-to-ready")
}
