package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"regctl/stack/auth/store"
	"regctl/stack/auth/store/mongotest"
	"regctl/stack/auth/store/storetest"
)

// in names the article's two collections of db.
func in(db *mongo.Database, s *mongotest.Server) store.MongoOptions {
	return store.MongoOptions{
		Addrs: []string{s.Addr}, Timeout: time.Minute, Database: db.Name(), Users: "users", Rules: "acl",
		Username: s.Username, Password: store.Secret(s.Password), Source: s.Source,
	}
}

func openMongo(t *testing.T, opts store.MongoOptions) *store.Mongo {
	t.Helper()
	m, err := store.OpenMongo(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return m
}

func TestMongo(t *testing.T) {
	server := mongotest.Start(t)
	var mu sync.Mutex
	databases := map[string]*mongo.Database{}
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if databases[dir] == nil {
			databases[dir] = server.Database(t)
		}
		opts := in(databases[dir], server)
		opts.AuditLimit = storetest.AuditLimit
		m, err := store.OpenMongo(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func insert(t *testing.T, db *mongo.Database, collection string, docs ...any) {
	t.Helper()
	if _, err := db.Collection(collection).InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

func loadMongo(t *testing.T, m *store.Mongo) store.State {
	t.Helper()
	state, err := m.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// doc reads what the mongo shell would be given.
func doc(t *testing.T, text string) bson.D {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	check(t, json.Unmarshal([]byte(a), &x))
	check(t, json.Unmarshal([]byte(b), &y))
	return reflect.DeepEqual(x, y)
}

// TestMongoArticle: the article's documents are users and rules as they are, and
// what Write makes of one of them is of the same shape.
func TestMongoArticle(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := server.Database(t)
	insert(t, db, "users",
		doc(t, `{"username": "waldi", "password": "$2y$05$hash", "labels": {"full-access": ["test/*"], "read-only-access": ["prod/*"]}}`),
		doc(t, `{"username": "busy-guy", "password": "$2y$05$hash",
			"labels": {"group": ["web", "webdev"], "project": ["website", "api"], "tier": ["frontend", "backend"]}}`),
		doc(t, `{"username": "single", "password": "$2y$05$hash", "labels": {"full-access": "test/*"}, "email": "not ours"}`),
	)
	insert(t, db, "acl",
		doc(t, `{"seq": 10, "match": {"name": "${labels:full-access}"}, "actions": ["*"], "comment": "full access"}`),
		// The old shell wrote all numbers so.
		doc(t, `{"seq": {"$numberDouble": "20.0"}, "match": {"name": "${labels:read-only-access}"}, "actions": ["pull"], "comment": "pull access"}`),
	)
	m := openMongo(t, in(db, server))
	got := loadMongo(t, m)
	want := store.State{
		Users: map[string]store.User{
			"waldi": {Name: "waldi", PasswordHash: "$2y$05$hash", Labels: map[string][]string{"full-access": {"test/*"}, "read-only-access": {"prod/*"}}},
			"busy-guy": {Name: "busy-guy", PasswordHash: "$2y$05$hash", Labels: map[string][]string{
				"group": {"web", "webdev"}, "project": {"website", "api"}, "tier": {"frontend", "backend"}}},
			"single": {Name: "single", PasswordHash: "$2y$05$hash", Labels: map[string][]string{"full-access": {"test/*"}}},
		},
		Rules: map[int64]store.Rule{
			10: {Seq: 10, Match: store.Match{Name: new("${labels:full-access}")}, Actions: []string{"*"}, Comment: "full access"},
			20: {Seq: 20, Match: store.Match{Name: new("${labels:read-only-access}")}, Actions: []string{"pull"}, Comment: "pull access"},
		},
	}
	if !reflect.DeepEqual(got.Users, want.Users) || !reflect.DeepEqual(got.Rules, want.Rules) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if refused := []string{`collection users: the field "email" is ignored`}; !slices.Equal(got.Refused, refused) {
		t.Errorf("refused %q", got.Refused)
	}

	single := got.Users["single"]
	single.Labels = map[string][]string{"full-access": {"a", "b"}}
	single.Expires = time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	rule := got.Rules[20]
	rule.Actions = []string{"pull", "push"}
	err := m.Write(t.Context(), store.Change{
		PutUsers: []store.User{single, {Name: "new", PasswordHash: "$2a$10$hash"}},
		PutRules: []store.Rule{rule, {Seq: 30, Match: store.Match{Account: new("")}, Actions: []string{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ collection, filter, want string }{
		{"users", `{"username": "single"}`, `{"username":"single","password":"$2y$05$hash","labels":{"full-access":["a","b"]},"email":"not ours","expires":{"$date":"2027-01-31T00:00:00Z"}}`},
		{"users", `{"username": "new"}`, `{"username":"new","password":"$2a$10$hash"}`},
		{"acl", `{"seq": 20}`, `{"seq":20,"match":{"name":"${labels:read-only-access}"},"actions":["pull","push"],"comment":"pull access"}`},
		{"acl", `{"seq": 30}`, `{"seq":30,"match":{"account":""},"actions":[]}`},
	} {
		var found bson.M
		if err := db.Collection(row.collection).FindOne(t.Context(), doc(t, row.filter)).Decode(&found); err != nil {
			t.Fatal(err)
		}
		delete(found, "_id")
		text, err := bson.MarshalExtJSON(found, false, false)
		if err != nil || !sameJSON(t, string(text), row.want) {
			t.Errorf("%s: got %s, %v, want %s", row.filter, text, err, row.want)
		}
	}
	for _, row := range []struct{ collection, field string }{{"users", "username"}, {"acl", "seq"}} {
		twin := bson.D{{Key: row.field, Value: "twin"}}
		insert(t, db, row.collection, twin)
		if _, err := db.Collection(row.collection).InsertOne(t.Context(), bson.D{{Key: row.field, Value: "twin"}}); !mongo.IsDuplicateKeyError(err) {
			t.Errorf("%s twice: %v", row.field, err)
		}
	}
}

// TestMongoRefused: a document that cannot be understood gives nobody a right,
// takes no other with it, and is named.
func TestMongoRefused(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	for _, row := range []struct{ name, collection, doc, want string }{
		{"password number", "users", `{"username": "u", "password": 5}`, `collection users, document username "u": password: is a value of type 32-bit integer, want a string`},
		{"no username", "users", `{"_id": "x", "password": "p"}`, `document _id "x": username is missing`},
		{"username null", "users", `{"username": null}`, `username: is a value of type null, want a string`},
		{"labels list", "users", `{"username": "u", "labels": ["x"]}`, `labels: is a value of type array, want a document`},
		{"label number", "users", `{"username": "u", "labels": {"k": [1]}}`, `labels: k: is a value of type 32-bit integer, want a string`},
		{"label null", "users", `{"username": "u", "labels": {"k": null}}`, `want a list of strings`},
		{"disabled text", "users", `{"username": "u", "disabled": "yes"}`, `disabled: is a value of type string, want true or false`},
		{"expires text", "users", `{"username": "u", "expires": "2027-01-31"}`, `expires: is a value of type string, want a date`},
		{"expires null", "users", `{"username": "u", "expires": null}`, `expires: is a value of type null, want a date`},

		{"no seq", "acl", `{"match": {}, "actions": ["*"]}`, `seq is missing: the access list ends here and denies`},
		{"seq text", "acl", `{"seq": "5", "match": {}, "actions": ["*"]}`, `seq: is a value of type string, want a whole number`},
		{"seq half", "acl", `{"seq": 5.5, "match": {}, "actions": ["*"]}`, `5.5 is no whole number`},
		{"no match", "acl", `{"seq": 5, "actions": ["*"]}`, `collection acl, document seq {"$numberInt":"5"}: match is missing`},
		{"match null", "acl", `{"seq": 5, "match": null, "actions": ["*"]}`, `match: is a value of type null`},
		{"unknown condition", "acl", `{"seq": 5, "match": {"team": "x"}, "actions": ["*"]}`, `match: team: is no condition`},
		{"null condition", "acl", `{"seq": 5, "match": {"account": null}, "actions": ["*"]}`, `match: account: is a value of type null`},
		{"labels condition", "acl", `{"seq": 5, "match": {"labels": {"k": ["x"]}}, "actions": ["*"]}`, `match: labels: k: is a value of type array`},
		{"actions text", "acl", `{"seq": 5, "match": {}, "actions": "*"}`, `actions: is a value of type string, want a list`},
		{"actions null", "acl", `{"seq": 5, "match": {}, "actions": null}`, `actions: is a value of type null`},
		{"rule expires null", "acl", `{"seq": 5, "match": {}, "actions": ["*"], "expires": null}`, `expires: is a value of type null`},

		{"token field", "regctl_tokens", `{"_id": "u-1", "hash": 5}`, `collection regctl_tokens, document _id "u-1": hash: is a value of type`},
		{"token limit", "regctl_tokens", `{"_id": "u-1", "only_on_monday": true}`, `only_on_monday: is no field of a token`},
		{"refresh token", "regctl_refresh_tokens", `{"_id": 5}`, `_id: is a value of type`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db := server.Database(t)
			m := openMongo(t, in(db, server))
			good := store.Change{
				PutUsers: []store.User{{Name: "good"}}, PutTokens: []store.Token{{ID: "good", Hash: []byte{1}}},
				PutRules: []store.Rule{{Seq: 1, Actions: []string{"pull"}}},
			}
			if err := m.Write(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			insert(t, db, row.collection, doc(t, row.doc))
			state := loadMongo(t, m)
			if len(state.Refused) != 1 || !strings.Contains(state.Refused[0], row.want) {
				t.Errorf("refused %q, want %q", state.Refused, row.want)
			}
			if len(state.Users) != 1 || len(state.Tokens) != 1 || len(state.Refresh) != 0 {
				t.Errorf("%+v", state)
			}
			for seq, r := range state.Rules {
				if seq != 1 && (!reflect.DeepEqual(r.Match, store.Match{}) || r.Actions == nil || len(r.Actions) != 0 || !r.Expires.IsZero()) {
					t.Errorf("rule %d does not deny: %+v", seq, r)
				}
			}
			if want := row.collection == "acl"; (len(state.Rules) == 2) != want {
				t.Errorf("rules %+v", state.Rules)
			}
			if _, has := state.Rules[-1<<63]; has != strings.Contains(row.name, "seq") {
				t.Errorf("rules %+v", state.Rules)
			}
		})
	}
}

// TestMongoTwins: where no index could forbid two documents of one name, neither
// counts, and two rules of one place deny.
func TestMongoTwins(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := server.Database(t)
	for _, password := range []string{"a", "b", "c"} {
		insert(t, db, "users", bson.D{{Key: "username", Value: "twin"}, {Key: "password", Value: password}})
		insert(t, db, "acl", bson.D{{Key: "seq", Value: 7}, {Key: "match", Value: bson.D{}}, {Key: "actions", Value: bson.A{"*"}}})
	}
	insert(t, db, "users", bson.D{{Key: "username", Value: "single"}, {Key: "password", Value: "p"}})
	state := loadMongo(t, openMongo(t, in(db, server)))
	if _, ok := state.Users["single"]; !ok || len(state.Users) != 1 {
		t.Errorf("users %+v", state.Users)
	}
	if r := state.Rules[7]; r.Actions == nil || len(r.Actions) != 0 {
		t.Errorf("rules %+v", state.Rules)
	}
	all := strings.Join(state.Refused, "\n")
	for _, want := range []string{`another document has username "twin"`, "another document has seq 7", "collection users: no index", "collection acl: no index"} {
		if !strings.Contains(all, want) {
			t.Errorf("refused says nothing of %q: %s", want, all)
		}
	}
}

// TestMongoPoll: an edit by others is noticed, and no edit is no news.
func TestMongoPoll(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := server.Database(t)
	m := openMongo(t, in(db, server))
	last := loadMongo(t, m)
	poll := func(what string, want bool) {
		t.Helper()
		state, changed, err := m.Poll(t.Context(), last)
		if err != nil || changed != want {
			t.Errorf("%s: changed %t, %v", what, changed, err)
		}
		last = state
	}
	poll("nothing", false)
	insert(t, db, "users", doc(t, `{"username": "waldi", "password": "p"}`))
	poll("insert", true)
	poll("nothing", false)
	update := bson.D{{Key: "$set", Value: bson.D{{Key: "password", Value: "q"}}}}
	if _, err := db.Collection("users").UpdateOne(t.Context(), bson.D{{Key: "username", Value: "waldi"}}, update); err != nil {
		t.Fatal(err)
	}
	poll("update", true)
	if last.Users["waldi"].PasswordHash != "q" {
		t.Errorf("%+v", last.Users)
	}
	insert(t, db, "acl", doc(t, `{"seq": 1, "match": {}, "actions": []}`))
	poll("rule", true)
	if _, err := db.Collection("users").DeleteOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	poll("delete", true)
	if len(last.Users) != 0 || len(last.Rules) != 1 {
		t.Errorf("%+v", last)
	}
	poll("nothing", false)
	if err := m.AppendAudit(t.Context(), make([]store.AuditRow, 3)); err != nil {
		t.Fatal(err)
	}
	poll("audit", false)
}

// TestMongoLogin: a user of the database alone, as the article makes it, and one
// of admin, as docker_auth wants it.
func TestMongoLogin(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	if server.Username == "" {
		t.Skip("SKIPPED: the server of REGCTL_TEST_MONGO_URI has no logins")
	}
	db := server.Database(t)
	server.CreateUser(t, db, "ansi", "it's @ test/%20 p")
	opts := in(db, server)
	opts.Username, opts.Password, opts.Source = "ansi", "it's @ test/%20 p", ""
	for _, mechanism := range []string{"", "SCRAM-SHA-256", "SCRAM-SHA-1"} {
		opts.Mechanism = mechanism
		if err := openMongo(t, opts).Write(t.Context(), store.Change{PutUsers: []store.User{{Name: "a"}}}); err != nil {
			t.Errorf("as ansi by %q: %v", mechanism, err)
		}
	}
	if server.Source == "admin" {
		opts := in(db, server)
		opts.Source = ""
		openMongo(t, opts)
	}
	opts.Mechanism = ""
	for _, wrong := range []func(*store.MongoOptions){
		func(o *store.MongoOptions) { o.Password = "wrong-secret" },
		func(o *store.MongoOptions) { o.Username = "nobody" },
	} {
		opts := opts
		wrong(&opts)
		_, err := store.OpenMongo(t.Context(), opts)
		wantWords(t, err, "opening", "unknown to database "+db.Name()+" and admin")
		for _, secret := range []string{"wrong-secret", "it's @"} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, opts, opts), secret) {
				t.Errorf("%v, %+v: has a secret", err, opts)
			}
		}
	}
}

// TestMongoNobody: where no server is, opening ends with its timeout and names
// the place.
func TestMongoNobody(t *testing.T) {
	t.Parallel()
	_, err := store.OpenMongo(t.Context(), store.MongoOptions{Addrs: []string{"127.0.0.1:1"}, Timeout: 100 * time.Millisecond, Database: "d"})
	wantWords(t, err, "store mongodb://127.0.0.1:1/d: opening: ", "connection refused")
}

// TestMongoTLS: the server's certificate is checked.
func TestMongoTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	files := []string{filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")}
	check(t, os.WriteFile(files[0], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
	check(t, os.WriteFile(files[1], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes}), 0o600))

	server := mongotest.Own(t, mongotest.TLS(files[0], files[1]))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	opts := store.MongoOptions{
		Addrs: []string{server.Addr}, Timeout: time.Minute, Database: "regctl", Users: "users", Rules: "acl",
		Username: server.Username, Password: store.Secret(server.Password), TLS: &tls.Config{RootCAs: roots},
	}
	check(t, openMongo(t, opts).Write(t.Context(), store.Change{PutUsers: []store.User{{Name: "a"}}}))
	opts.Timeout = 2 * time.Second
	opts.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	_, err = store.OpenMongo(t.Context(), opts)
	wantWords(t, err, "certificate signed by unknown authority")
	opts.TLS = nil
	if _, err = store.OpenMongo(t.Context(), opts); err == nil {
		t.Error("without TLS: no error")
	}
}
