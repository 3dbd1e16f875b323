// Package stacktest has what tests of the stack need on a machine that cannot
// pull: images made of this machine's programs, and engines of their own in
// network namespaces of their own.
package stacktest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Client is a client of the engine at dockerHost; empty means that of
// DOCKER_HOST. It skips the test if no engine answers.
func Client(t testing.TB, dockerHost string) *client.Client {
	t.Helper()
	options := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if dockerHost != "" {
		options = append(options, client.WithHost(dockerHost))
	}
	c, err := client.NewClientWithOpts(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Ping(t.Context()); err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	return c
}

// Nginx makes an image of this machine's nginx, laid out like the official
// one: it runs as root, has the user nginx with the number 101, logs to
// standard output and error, and takes another command.
func Nginx(t testing.TB, dockerHost string) (ref string) {
	t.Helper()
	said := output(t, need(t, "nginx"), "-V")
	version := regexp.MustCompile(`nginx/([\d.]+)`).FindStringSubmatch(said)
	if version == nil {
		t.Fatalf("nginx -V says %q", said)
	}
	r := newRootfs(t)
	r.program("nginx", "/usr/sbin/nginx")
	r.file("/etc/nginx/mime.types")
	r.text("/etc/nginx/nginx.conf", "error_log stderr notice;\nevents {}\nhttp { server { listen 80; return 204; } }\n")
	// Debian's build takes nobody for its workers where none is named, the
	// official one nginx.
	r.text("/etc/passwd", "root:x:0:0:root:/root:/bin/false\nnginx:x:101:101:nginx:/nonexistent:/bin/false\nnobody:x:101:101::/:/bin/false\n")
	r.text("/etc/group", "root:x:0:\nnginx:x:101:\nnogroup:x:101:\n")
	for _, dir := range []string{"/run", "/tmp", "/var/cache/nginx", "/var/lib/nginx", "/var/log/nginx"} {
		r.dir(dir)
	}
	r.link("/var/log/nginx/access.log", "/dev/stdout")
	r.link("/var/log/nginx/error.log", "/dev/stderr")
	return r.load(dockerHost, "nginx:"+version[1], `CMD ["nginx", "-g", "daemon off;"]`, "ENV PATH=/usr/sbin")
}

// Registry makes an image of the registry that .ci/tools builds. Like the
// official one it takes `serve CONFIG` and `garbage-collect CONFIG`.
func Registry(t testing.TB, dockerHost string) (ref string) {
	t.Helper()
	path := need(t, "registry")
	version := regexp.MustCompile(`v(\d+\.\d+\.\d+)`).FindStringSubmatch(output(t, path, "--version"))
	tag := "latest"
	if version != nil {
		tag = version[1]
	}
	r := newRootfs(t)
	r.program("registry", "/bin/registry")
	r.dir("/var/lib/registry")
	r.dir("/etc/distribution")
	return r.load(dockerHost, "registry:"+tag, `ENTRYPOINT ["/bin/registry"]`,
		`CMD ["serve", "/etc/distribution/config.yml"]`, "ENV PATH=/bin", "ENV OTEL_TRACES_EXPORTER=none")
}

// need finds a program, also among those that .ci/tools has built, and skips
// the test without it.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := Tool(program)
	if err != nil {
		t.Skipf("no %s: run .ci/tools", program)
	}
	return path
}

// Tool finds a program that .ci/tools has built, or that is installed.
func Tool(program string) (string, error) {
	if path, err := exec.LookPath(filepath.Join(Checkout(), ".tools", "bin", program)); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		if sbin, err := exec.LookPath("/usr/sbin/" + program); err == nil { // not on every PATH
			return sbin, nil
		}
	}
	return path, err
}

// Checkout is the directory of go.mod.
func Checkout() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// output is what a program prints.
func output(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// rootfs is the file system of an image: a tar file in memory.
type rootfs struct {
	t    testing.TB
	buf  bytes.Buffer
	tar  *tar.Writer
	have []string
}

func newRootfs(t testing.TB) *rootfs {
	r := &rootfs{t: t}
	r.tar = tar.NewWriter(&r.buf)
	return r
}

func (r *rootfs) add(h tar.Header, content []byte) {
	r.t.Helper()
	if slices.Contains(r.have, h.Name) {
		return
	}
	r.have = append(r.have, h.Name)
	h.Name = strings.TrimPrefix(h.Name, "/")
	h.Size = int64(len(content))
	if err := r.tar.WriteHeader(&h); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.tar.Write(content); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rootfs) dir(path string) {
	if path != "/" {
		r.dir(filepath.Dir(path))
		r.add(tar.Header{Typeflag: tar.TypeDir, Name: path, Mode: 0o755}, nil)
	}
}

func (r *rootfs) put(path string, mode int64, content []byte) {
	r.t.Helper()
	r.dir(filepath.Dir(path))
	r.add(tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: mode}, content)
}

func (r *rootfs) text(path, content string) { r.put(path, 0o644, []byte(content)) }

func (r *rootfs) link(path, to string) {
	r.add(tar.Header{Typeflag: tar.TypeSymlink, Name: path, Linkname: to, Mode: 0o777}, nil)
}

// file copies a file of this machine.
func (r *rootfs) file(path string) { r.copy(path, path, 0o644) }

func (r *rootfs) copy(from, to string, mode int64) {
	r.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(to, mode, content)
}

// program copies a program and the libraries that ldd(1) names: "name => /path
// (address)", or "/path (address)" for the loader. A static one has none.
func (r *rootfs) program(name, to string) {
	r.t.Helper()
	path := need(r.t, name)
	r.copy(path, to, 0o755)
	out, err := exec.CommandContext(r.t.Context(), "ldd", path).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		r.t.Fatalf("ldd %s: %v\n%s", path, err, out)
	}
	for _, found := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		r.copy(found[1], found[1], 0o755)
	}
}

// load gives the engine an image of the file system, unless it has it. The tag
// ends in digits of its content, so that it need not be made in each run.
func (r *rootfs) load(dockerHost, tag string, config ...string) (ref string) {
	r.t.Helper()
	c := Client(r.t, dockerHost)
	if err := r.tar.Close(); err != nil {
		r.t.Fatal(err)
	}
	sum := sha256.New()
	sum.Write(r.buf.Bytes())
	fmt.Fprint(sum, config)
	ref = fmt.Sprintf("regctl-test/%s-%x", tag, sum.Sum(nil)[:6])
	if _, err := c.ImageInspect(r.t.Context(), ref); err == nil {
		return ref
	}
	// Not the test's context: half an import would be a layer without a name.
	answer, err := c.ImageImport(context.WithoutCancel(r.t.Context()),
		image.ImportSource{Source: &r.buf, SourceName: "-"}, ref, image.ImportOptions{Changes: config})
	if err != nil {
		r.t.Fatalf("importing %s: %v", ref, err)
	}
	defer answer.Close()
	if said, err := io.ReadAll(answer); err != nil || bytes.Contains(said, []byte(`"error"`)) {
		r.t.Fatalf("importing %s: %v\n%s", ref, err, said)
	}
	return ref
}
