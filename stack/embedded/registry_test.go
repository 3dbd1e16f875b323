package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func randomImage(t *testing.T) (v1.Image, v1.Hash) {
	t.Helper()
	image, err := random.Image(64<<10, 3)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return image, digest
}

// wantStatus checks that err is the registry's answer with a status and code.
func wantStatus(t *testing.T, err error, status int, code transport.ErrorCode) {
	t.Helper()
	var answer *transport.Error
	if !errors.As(err, &answer) || answer.StatusCode != status {
		t.Fatalf("got %v, want status %d", err, status)
	}
	if code != "" && (len(answer.Errors) != 1 || answer.Errors[0].Code != code) {
		t.Errorf("got errors %v, want code %s", answer.Errors, code)
	}
}

// requests records what a client asked and got.
type requests struct {
	mu    sync.Mutex
	lines []string // "METHOD path?query status"
}

func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		r.mu.Lock()
		r.lines = append(r.lines, req.Method+" "+req.URL.RequestURI()+" "+resp.Status)
		r.mu.Unlock()
	}
	return resp, err
}

func (r *requests) count(method, part, status string) (n int) {
	for _, line := range r.lines {
		if strings.HasPrefix(line, method+" ") && strings.Contains(line, part) && strings.Contains(line, " "+status) {
			n++
		}
	}
	return n
}

func TestPushPullMountDelete(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	image, digest := randomImage(t)
	as := remote.WithAuth(alice)

	tag := parse(t, s.addr+"/one/app:1")
	if err := remote.Write(tag, image, as); err != nil {
		t.Fatalf("push: %v", err)
	}
	byDigest := parse(t, s.addr+"/one/app@"+digest.String())
	pulled, err := remote.Image(byDigest, as)
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	layers, err := pulled.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Compressed() // reading it checks the digest
		if err != nil {
			t.Fatal(err)
		}
		if _, err := new(bytes.Buffer).ReadFrom(content); err != nil {
			t.Fatalf("pulling a layer: %v", err)
		}
	}

	seen := &requests{}
	if err := remote.Write(parse(t, s.addr+"/two/app:1"), pulled, as, remote.WithTransport(seen)); err != nil {
		t.Fatalf("push with mount: %v", err)
	}
	if got, want := seen.count("POST", "mount=", "201"), len(layers)+1; got != want || seen.count("PATCH", "", "") > 0 {
		t.Errorf("%d of %d blobs were mounted; requests:\n%s", got, want, strings.Join(seen.lines, "\n"))
	}

	registry, err := name.NewRegistry(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	repos, err := remote.Catalog(t.Context(), registry, as)
	if err != nil || strings.Join(repos, " ") != "one/app two/app" {
		t.Errorf("catalog: %q, %v", repos, err)
	}

	if err := remote.Delete(byDigest, as); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err = remote.Get(byDigest, as)
	wantStatus(t, err, http.StatusNotFound, transport.ManifestUnknownErrorCode)
	if _, err := remote.Get(parse(t, s.addr+"/two/app@"+digest.String()), as); err != nil {
		t.Errorf("the other repository lost the image too: %v", err)
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	image, _ := randomImage(t)
	err := remote.Write(parse(t, s.addr+"/denied/app:1"), image, remote.WithAuth(alice))
	wantStatus(t, err, http.StatusUnauthorized, "")

	// A token for one repository is none for another, nor one of another issuer's key.
	stranger, _ := newIssuer(t, t.TempDir())
	for what, token := range map[string]string{
		"another repository": s.issuer.token("repository:other:push,pull"),
		"another CA":         stranger.token("repository:app:push,pull"),
		"no token":           "",
	} {
		t.Run(what, func(t *testing.T) {
			resp := upload(t, s, token, nil)
			wantStatus(t, transport.CheckError(resp), http.StatusUnauthorized, transport.UnauthorizedErrorCode)
		})
	}
}

// upload begins an upload to the repository app.
func upload(t *testing.T, s *stack, token string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v2/app/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTwoRegistries(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first, second := start(t, nil), start(t, func(o *Options) { o.Listener = ln })
	if second.addr != ln.Addr().String() {
		t.Errorf("the second serves at %s, not on its listener", second.addr)
	}
	image, _ := randomImage(t)
	if err := remote.Write(parse(t, first.addr+"/app:1"), image, remote.WithAuth(alice)); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(parse(t, first.addr+"/app:1"), remote.WithAuth(alice)); err != nil {
		t.Error(err)
	}
	_, err = remote.Get(parse(t, second.addr+"/app:1"), remote.WithAuth(alice))
	wantStatus(t, err, http.StatusNotFound, "")
}

// Not parallel: the library's logger is process-wide.
func TestRegistryLogsFaultsOnly(t *testing.T) {
	var log bytes.Buffer
	s := start(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	image, _ := randomImage(t)
	as := remote.WithAuth(alice)
	if err := remote.Write(parse(t, s.addr+"/app:1"), image, as); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(parse(t, s.addr+"/app:none"), as); err == nil {
		t.Fatal("found a tag that is not there")
	}
	if log.Len() > 0 {
		t.Errorf("logged what clients do:\n%s", &log)
	}

	// Storage that breaks while running: a file where a directory must be.
	blobs := filepath.Join(storageDir(s.dir), "docker", "registry", "v2", "repositories")
	if err := os.RemoveAll(blobs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blobs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	token := s.issuer.token("repository:app:pull,push")
	resp := upload(t, s, token, nil)
	s.cancel()
	<-s.done // nobody writes to log any more
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("broken storage: %s, log:\n%s", resp.Status, &log)
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "Bearer") {
		t.Errorf("the log has the token:\n%s", &log)
	}
}

func TestOpenRegistryRefuses(t *testing.T) {
	t.Parallel()
	_, bundle := newIssuer(t, t.TempDir())
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.pem")
	if err := os.WriteFile(broken, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	short := t.TempDir()
	if err := os.MkdirAll(filepath.Join(short, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(short, "data", "registry.secret"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir()
	if err := os.WriteFile(filepath.Join(blocked, "data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := RegistryOptions{Dir: t.TempDir(), Service: testService, Issuer: testIssuer, SigningBundle: bundle}
	for _, test := range []struct {
		want   string
		change func(*RegistryOptions)
	}{
		{"service is not set", func(o *RegistryOptions) { o.Service = "" }},
		{"issuer is not set", func(o *RegistryOptions) { o.Issuer = "" }},
		{"no such file", func(o *RegistryOptions) { o.SigningBundle = filepath.Join(dir, "none") }},
		{"holds no certificate", func(o *RegistryOptions) { o.SigningBundle = empty }},
		{"unable to parse token auth root certificate", func(o *RegistryOptions) { o.SigningBundle = broken }}, // the library's panic
		{"has 5 bytes instead of 32", func(o *RegistryOptions) { o.Dir = short }},
		{"making the registry's storage", func(o *RegistryOptions) { o.Dir = blocked }},
	} {
		opts := good
		test.change(&opts)
		if _, err := OpenRegistry(opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	registry, err := OpenRegistry(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Close(); err != nil {
		t.Error(err)
	}
}

func TestUploadSecretStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	first, err := uploadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := uploadSecret(path)
	if err != nil || again != first || len(first) != 64 {
		t.Errorf("first %q, then %q, %v", first, again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
