package stacktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Mongo makes an image that takes the place of MongoDB's, which cannot be had
// here: FerretDB, started as compose.yaml starts mongod. See mongod/main.go.
func Mongo(t testing.TB, dockerHost string) (ref string) {
	t.Helper()
	mongod := filepath.Join(t.TempDir(), "mongod")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", mongod, "./stack/stacktest/mongod")
	build.Dir = Checkout()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building mongod: %v\n%s", err, out)
	}
	r := newRootfs(t)
	r.program(mongod, "/bin/mongod")
	r.program("ferretdb", "/bin/ferretdb")
	return r.load(dockerHost, "mongo:ferretdb", "ENV PATH=/bin")
}
