// Command mongod stands in for MongoDB's image, which cannot be had here: it runs
// FerretDB, which speaks the same wire protocol, as compose.yaml runs mongod. It
// makes the user that the image's init script would make.
package main

import (
	"log"
	"os"
	"slices"
	"strings"
	"syscall"
)

func main() {
	at := slices.Index(os.Args, "--dbpath")
	if at < 0 || at+1 == len(os.Args) || !slices.Contains(os.Args, "--auth") {
		log.Fatalf("want mongod --auth --dbpath DIR, got %q", os.Args)
	}
	dir := os.Args[at+1]
	password, err := os.ReadFile("/run/secrets/mongo-password")
	if err != nil {
		log.Fatal(err)
	}
	argv := []string{
		"/bin/ferretdb", "--listen-addr=:27017", "--handler=sqlite", "--sqlite-url=file:" + dir + "/", "--state-dir=" + dir,
		"--debug-addr=-", "--telemetry=disable", "--log-level=error", "--test-enable-new-auth",
	}
	env := []string{"FERRETDB_SETUP_DATABASE=regctl", "FERRETDB_SETUP_USERNAME=regctl", "FERRETDB_SETUP_PASSWORD=" + strings.TrimSpace(string(password))}
	log.Fatal(syscall.Exec(argv[0], argv, env))
}
