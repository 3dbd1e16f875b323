package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store/mongotest"
)

// articleConfig is the configuration of the article that this project follows,
// at other addresses and paths, and with our admin socket.
const articleConfig = `server:  # Server settings.
  # Address to listen on.
  addr: "127.0.0.1:0"
  admin_socket: "DIR/run/admin.sock"

token:
  issuer: "Acme auth server" # Must match issuer in the Registry config.
  expiration: 900
  certificate: "DIR/sign.crt"
  key: "DIR/sign.key"

mongo_auth:
  dial_info:
    addrs: ["ADDR"]
    timeout: "10s"
    database: "DB"
    username: "ansi"
    password_file: "DIR/mongopass.txt"
    enabled_tls: false
  collection: "users"

acl_mongo:
  dial_info:
    addrs: ["ADDR"]
    timeout: "10s"
    database: "DB"
    username: "ansi"
    password_file: "DIR/mongopass.txt"
    enabled_tls: false
  collection: "acl"
  cache_ttl: "1s"
`

// startArticle runs the article's configuration with its documents, which are
// inserted first.
func startArticle(t *testing.T, server *mongotest.Server) (*running, *mongo.Database, *Client) {
	t.Helper()
	db := server.Database(t)
	if server.Username != "" {
		server.CreateUser(t, db, "ansi", "test-of-mongo")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("waldi-pw"), 5)
	if err != nil {
		t.Fatal(err)
	}
	// As htpasswd -nB writes it.
	hash = []byte("$2y$" + strings.TrimPrefix(string(hash), "$2a$"))
	insertJSON(t, db, "users", `{"username": "waldi", "password": "`+string(hash)+`", "labels": {"full-access": ["test", "socke*"], "read-only-access": ["prod/*"]}}`)
	insertJSON(t, db, "acl", `{"seq": 20, "match": {"name": "${labels:read-only-access}"}, "actions": ["pull"], "comment": "pull access"}`)
	insertJSON(t, db, "acl", `{"seq": 10, "match": {"name": "${labels:full-access}"}, "actions": ["*"], "comment": "full access"}`)

	r := startRun(t, func(r *running) string {
		if err := os.WriteFile(filepath.Join(r.dir, "mongopass.txt"), []byte("test-of-mongo\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("ADDR", server.Addr, "DB", db.Name(), "DIR", r.dir).Replace(articleConfig)
		if server.Username == "" {
			text = regexp.MustCompile(`(?m)^ +(username|password_file):.*\n`).ReplaceAllString(text, "")
		}
		return text
	})
	return r, db, NewClient(filepath.Join(r.dir, "run", "admin.sock"))
}

func insertJSON(t *testing.T, db *mongo.Database, collection, text string) {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Collection(collection).InsertOne(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// grantOf asks the running server for a token and returns what it grants.
func grantOf(r *running, user, password, scope string) (string, error) {
	req, err := http.NewRequest("GET", "http://"+r.addr+"/auth?service=s&scope="+scope, nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.Status, nil
	}
	var answer tokenResponse
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		return "", err
	}
	var c claims
	err = json.Unmarshal(body, &c)
	return accessText(c.Access), err
}

// grants is a probe of what is granted.
func grants(r *running, user, password, scope, want string) func() error {
	return func() error {
		got, err := grantOf(r, user, password, scope)
		if err == nil && got != want {
			err = fmt.Errorf("%s asks %s and gets %q, want %q", user, scope, got, want)
		}
		return err
	}
}

// wantGrants fails the test unless the grant is as wanted now.
func wantGrants(t *testing.T, r *running, user, password, scope, want string) {
	t.Helper()
	if err := grants(r, user, password, scope, want)(); err != nil {
		t.Error(err)
	}
}

// TestMongoServes: the article's configuration and documents, edits in the
// database, and our commands on the same documents.
func TestMongoServes(t *testing.T) {
	server := mongotest.Start(t)
	r, db, admin := startArticle(t, server)
	ctx := t.Context()
	wantGrants(t, r, "waldi", "waldi-pw", "repository:socken-test:push,pull", "repository:socken-test:pull,push")
	wantGrants(t, r, "waldi", "waldi-pw", "repository:prod/app:push,pull", "repository:prod/app:pull")
	wantGrants(t, r, "waldi", "waldi-pw", "repository:test-socke:push", "repository:test-socke:")
	wantGrants(t, r, "waldi", "wrong", "repository:test:push", "401 Unauthorized")

	update := func(collection, filter, update string) {
		t.Helper()
		var f, u bson.D
		if err := errors.Join(bson.UnmarshalExtJSON([]byte(filter), false, &f), bson.UnmarshalExtJSON([]byte(update), false, &u)); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Collection(collection).UpdateOne(ctx, f, u); err != nil || n.MatchedCount != 1 {
			t.Fatalf("%s %s: %v, %v", collection, filter, n, err)
		}
	}
	update("users", `{"username": "waldi"}`, `{"$set": {"labels": {"full-access": ["other"]}}}`)
	eventually(t, "a right edited in the database", grants(r, "waldi", "waldi-pw", "repository:other:push", "repository:other:push"))
	wantGrants(t, r, "waldi", "waldi-pw", "repository:socken-test:push", "repository:socken-test:")
	insertJSON(t, db, "acl", `{"seq": 5, "match": {"account": "waldi"}, "actions": []}`)
	eventually(t, "a rule added in the database", grants(r, "waldi", "waldi-pw", "repository:other:push", "repository:other:"))

	// A rule that nobody can understand closes what is behind it, and says so.
	update("acl", `{"seq": 5}`, `{"$set": {"match": {"acount": "nobody"}}}`)
	eventually(t, "a faulty rule", logged(r, "match: acount: is no condition"))
	wantGrants(t, r, "waldi", "waldi-pw", "repository:other:push", "repository:other:")
	update("acl", `{"seq": 5}`, `{"$set": {"match": {"name": "a["}}}`)
	eventually(t, "a faulty pattern", logged(r, "rule 5: invalid match conditions"))
	wantGrants(t, r, "waldi", "waldi-pw", "repository:other:push", "repository:other:")
	status, err := admin.Status(ctx)
	if err != nil || !status.Ready || !strings.Contains(strings.Join(status.Refused, "\n"), "rule 5: ") {
		t.Errorf("status %+v, %v", status, err)
	}
	if _, err := admin.RemoveRule(ctx, 5); err != nil {
		t.Fatal(err)
	}
	wantGrants(t, r, "waldi", "waldi-pw", "repository:other:push", "repository:other:push")

	// A user without a password, which docker_auth would let in with any.
	insertJSON(t, db, "users", `{"username": "open", "labels": {"full-access": ["*"]}}`)
	eventually(t, "a user without a password", logged(r, "the password is no bcrypt hash"))
	wantGrants(t, r, "open", "", "repository:x:push", "401 Unauthorized")
	wantGrants(t, r, "open", "x", "repository:x:push", "401 Unauthorized")

	if _, err := admin.AddUser(ctx, NewUser{Name: "new", Password: "new-pw", Labels: map[string][]string{"full-access": {"new/*"}}}); err != nil {
		t.Fatal(err)
	}
	wantGrants(t, r, "new", "new-pw", "repository:new/app:push", "repository:new/app:push")
	var found struct {
		Username, Password string
		Labels             map[string][]string
	}
	err = db.Collection("users").FindOne(ctx, bson.D{{Key: "username", Value: "new"}}).Decode(&found)
	if err != nil || bcrypt.CompareHashAndPassword([]byte(found.Password), []byte("new-pw")) != nil || !slices.Equal(found.Labels["full-access"], []string{"new/*"}) {
		t.Errorf("%+v, %v", found, err)
	}

	// What was edited a moment ago is not undone by a change of something else.
	update("users", `{"username": "new"}`, `{"$set": {"labels": {"read-only-access": ["new/a*"]}}}`)
	comment := "a comment"
	if u, err := admin.SetUser(ctx, UserEdit{Name: "new", Comment: &comment}); err != nil || len(u.Labels["full-access"]) > 0 {
		t.Errorf("%+v, %v", u, err)
	}
	wantGrants(t, r, "new", "new-pw", "repository:new/app:push,pull", "repository:new/app:pull")
	if strings.Contains(r.log.String(), "test-of-mongo") {
		t.Errorf("the log has the password: %s", r.log)
	}
}

// TestMongoOutage: while the database is away what was known holds, changes are
// refused, and the server says so; then all is as before.
func TestMongoOutage(t *testing.T) {
	server := mongotest.Own(t)
	r, db, admin := startArticle(t, server)
	ctx := t.Context()
	if _, err := admin.AddUser(ctx, NewUser{Name: "early", Password: "pw", Labels: map[string][]string{"full-access": {"early"}}}); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	wantGrants(t, r, "early", "pw", "repository:early:push", "repository:early:push")
	_, err := admin.AddUser(ctx, NewUser{Name: "late", Password: "pw"})
	if err == nil || strings.Contains(err.Error(), "test-of-mongo") {
		t.Errorf("adding a user without the database: %v", err)
	}
	away := func() error {
		if s, err := admin.Status(ctx); err != nil || s.Ready || !strings.Contains(s.Problem, "the database has not answered since") {
			return fmt.Errorf("status %+v, %v", s, err)
		}
		return nil
	}
	eventually(t, "status without the database", away)
	if _, err := admin.AddUser(ctx, NewUser{Name: "late", Password: "pw"}); err == nil || !strings.Contains(err.Error(), "has not answered since") {
		t.Errorf("adding a user without the database: %v", err)
	}
	wantGrants(t, r, "waldi", "waldi-pw", "repository:test:push", "repository:test:push")

	server.Restart(t)
	eventually(t, "status with the database again", func() error {
		if s, err := admin.Status(ctx); err != nil || !s.Ready || s.Users != 2 {
			return fmt.Errorf("status %+v, %v", s, err)
		}
		return nil
	})
	if _, err := admin.AddUser(ctx, NewUser{Name: "late", Password: "pw", Labels: map[string][]string{"full-access": {"late"}}}); err != nil {
		t.Fatal(err)
	}
	wantGrants(t, r, "late", "pw", "repository:late:push", "repository:late:push")
	if n, err := db.Collection("users").CountDocuments(ctx, bson.D{}); err != nil || n != 3 {
		t.Errorf("%d users, %v", n, err)
	}
	if err := logged(r, "the database answers again")(); err != nil {
		t.Error(err)
	}
}

// TestMongoBootstrap: an empty database gets its rules and admin through the
// socket, once.
func TestMongoBootstrap(t *testing.T) {
	server := mongotest.Start(t)
	r, db, admin := startArticle(t, server)
	ctx := t.Context()
	if made, err := admin.Bootstrap(ctx, "boss", "boss-secret"); err != nil || made {
		t.Errorf("a database with users: %t, %v", made, err)
	}
	for _, collection := range []string{"users", "acl"} {
		if _, err := db.Collection(collection).DeleteMany(ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "an empty database", func() error {
		if s, err := admin.Status(ctx); err != nil || s.Users+s.Rules > 0 {
			return fmt.Errorf("status %+v, %v", s, err)
		}
		return nil
	})
	made, err := admin.Bootstrap(ctx, "boss", "boss-secret")
	if err != nil || !made {
		t.Fatalf("an empty database: %t, %v", made, err)
	}
	wantGrants(t, r, "boss", "boss-secret", "registry:catalog:*", "registry:catalog:*")
	if n, err := db.Collection("acl").CountDocuments(ctx, bson.D{}); err != nil || n != int64(len(DefaultRules())) {
		t.Errorf("%d rules, %v", n, err)
	}
}
