// Package mongotest is a server of MongoDB's wire protocol for tests: FerretDB,
// as .ci/tools builds it, or the one that REGCTL_TEST_MONGO_URI names.
package mongotest

import (
	"bufio"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// uriEnv names a server to use instead of an own FerretDB. Its user may create
// and drop databases and users.
const uriEnv = "REGCTL_TEST_MONGO_URI"

// Server is a running server.
type Server struct {
	Addr               string // HOST:PORT
	Username, Password string // may do everything; "" needs no login
	Source             string // database that knows Username

	program, dir string // of an own FerretDB
	process      *exec.Cmd
	ended        chan struct{}
	tlsFlags     []string
}

// Option changes how an own FerretDB is started.
type Option func(*Server)

// TLS has it speak TLS only, with the certificate and key in these files.
func TLS(certificate, key string) Option {
	return func(s *Server) {
		s.tlsFlags = []string{"--listen-addr=", "--listen-tls=127.0.0.1:0", "--listen-tls-cert-file=" + certificate, "--listen-tls-key-file=" + key}
	}
}

// Start returns a server for the whole test, with logins on. It skips the test
// where there is none.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	if uri := os.Getenv(uriEnv); uri != "" && len(opts) == 0 {
		return fromURI(t, uri)
	}
	return Own(t, opts...)
}

// Own is Start with a FerretDB of the test's own, which it may Kill and Restart.
func Own(t testing.TB, opts ...Option) *Server {
	t.Helper()
	program, err := exec.LookPath("ferretdb")
	if err != nil {
		t.Skip("SKIPPED: no ferretdb in PATH: build it with .ci/tools ferretdb")
	}
	s := &Server{Addr: "127.0.0.1:0", Username: "root", Password: rand.Text(), Source: "admin", program: program, dir: t.TempDir()}
	for _, opt := range opts {
		opt(s)
	}
	s.Restart(t)
	t.Cleanup(s.Kill)
	return s
}

func fromURI(t testing.TB, uri string) *Server {
	t.Helper()
	c, err := connstring.ParseAndValidate(uri)
	if err != nil {
		t.Fatalf("%s: %v", uriEnv, err)
	}
	return &Server{Addr: c.Hosts[0], Username: c.Username, Password: c.Password, Source: c.AuthSource}
}

// listening is FerretDB's line about its socket.
var listening = regexp.MustCompile(`Listening on (?:TCP|TLS)\s+.*?(127\.0\.0\.1:\d+)`)

// Restart starts an own FerretDB, again after Kill, with the same data and at
// the same address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	args := []string{
		"--handler=sqlite", "--sqlite-url=file:" + s.dir + "/", "--state-dir=" + s.dir, "--listen-addr=" + s.Addr, "--debug-addr=-",
		"--telemetry=disable", "--test-enable-new-auth", "--setup-database=admin", "--setup-username=" + s.Username, "--setup-password=" + s.Password,
	}
	s.process = exec.Command(s.program, append(args, s.tlsFlags...)...)
	logs, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		var said strings.Builder
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
			if said.Len() < 1<<16 {
				said.WriteString(lines.Text() + "\n")
			}
		}
		s.process.Wait()
		os.WriteFile(filepath.Join(s.dir, "log"), []byte(said.String()), 0o600)
	}()
	select {
	case s.Addr = <-found:
	case <-s.ended:
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		t.Fatalf("ferretdb does not start: %s", text)
	case <-time.After(2 * time.Minute):
		s.Kill()
		t.Fatal("ferretdb does not listen after 2 minutes")
	}
}

// Kill ends an own FerretDB with kill -9.
func (s *Server) Kill() {
	s.process.Process.Kill()
	<-s.ended
}

// Database makes a database with a name of its own, which is dropped after the
// test.
func (s *Server) Database(t testing.TB) *mongo.Database {
	t.Helper()
	o := options.Client().SetHosts([]string{s.Addr})
	if s.Username != "" {
		o.SetAuth(options.Credential{Username: s.Username, Password: s.Password, AuthSource: s.Source})
	}
	client, err := mongo.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database("regctl_test_" + strings.ToLower(rand.Text()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		db.Drop(ctx) // an own server may be gone by now, and its data with it
		client.Disconnect(ctx)
	})
	return db
}

// CreateUser makes a user with readWrite on the database only, as in the
// article.
func (s *Server) CreateUser(t testing.TB, db *mongo.Database, name, password string) {
	t.Helper()
	roles := bson.A{bson.D{{Key: "role", Value: "readWrite"}, {Key: "db", Value: db.Name()}}}
	if s.program != "" {
		roles = bson.A{} // FerretDB has none: every user may do everything
	}
	err := db.RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: name}, {Key: "pwd", Value: password}, {Key: "roles", Value: roles},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
}
