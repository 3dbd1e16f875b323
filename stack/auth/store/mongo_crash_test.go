package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"regctl/stack/auth/store/mongotest"
)

// mongoAddress is what openCrashing understands.
func mongoAddress(s *mongotest.Server, database string) string {
	return strings.Join([]string{"mongo", s.Addr, s.Username, s.Password, s.Source, database}, "|")
}

func parseMongoAddress(text string) (MongoOptions, bool) {
	part := strings.Split(text, "|")
	if len(part) != 6 {
		return MongoOptions{}, false
	}
	return MongoOptions{
		Addrs: part[1:2], Timeout: time.Minute, Username: part[2], Password: Secret(part[3]), Source: part[4], Database: part[5],
		Users: "users", Rules: "acl", AuditLimit: 50,
	}, true
}

func openTestMongo(t *testing.T, s *mongotest.Server, db *mongo.Database) *Mongo {
	t.Helper()
	opts, _ := parseMongoAddress(mongoAddress(s, db.Name()))
	m, err := OpenMongo(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func journalEntries(t *testing.T, db *mongo.Database) int64 {
	t.Helper()
	n, err := db.Collection(journalCollection).CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMongoKill: what Write has acknowledged survives kill -9 of its process, and
// a change is never there in part for who opens the database next.
func TestMongoKill(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := server.Database(t)
	testKill(t, mongoAddress(server, db.Name()), 6, func(Store) {
		if n := journalEntries(t, db); n != 0 {
			t.Errorf("%d entries in the journal", n)
		}
	})
}

// TestMongoJournal: an entry that was left behind is completed, whatever part of
// it was done, and one that no server takes does not stay for ever.
func TestMongoJournal(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	change := numbered(200)
	for done := range 9 {
		db := server.Database(t)
		m := openTestMongo(t, server, db)
		if err := m.Write(t.Context(), numbered(100)); err != nil {
			t.Fatal(err)
		}
		entry := journalEntry{bson.NewObjectID(), m.operations(change)}
		if len(entry.Operations) != 8 {
			t.Fatalf("%d operations", len(entry.Operations))
		}
		if _, err := db.Collection(journalCollection).InsertOne(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if err := m.apply(t.Context(), entry.Operations[:done]); err != nil {
			t.Fatal(err)
		}
		state, err := openTestMongo(t, server, db).Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := State{}.Apply(numbered(100)).Apply(change)
		sameKeys(t, "users", state.Users, want.Users)
		sameKeys(t, "rules", state.Rules, want.Rules)
		sameKeys(t, "tokens", state.Tokens, want.Tokens)
		sameKeys(t, "refresh tokens", state.Refresh, want.Refresh)
		if n := journalEntries(t, db); n != 0 || len(state.Refused) != 0 {
			t.Errorf("%d entries in the journal, refused %q", n, state.Refused)
		}
	}

	db := server.Database(t)
	bad := journalEntry{bson.NewObjectID(), []operation{{Collection: "users", Field: "username", Key: "x", Set: bson.D{{Key: "_id", Value: bson.A{}}}}}}
	if _, err := db.Collection(journalCollection).InsertOne(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	state, err := openTestMongo(t, server, db).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := journalEntries(t, db); n != 0 || !strings.Contains(strings.Join(state.Refused, "\n"), "was made in part") {
		t.Errorf("%d entries in the journal, refused %q", n, state.Refused)
	}
}

// TestMongoDoubtful: a Write that did not learn what became of it, and said so,
// does not come true later.
func TestMongoDoubtful(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	db := server.Database(t)
	m := openTestMongo(t, server, db)
	entry := journalEntry{bson.NewObjectID(), m.operations(numbered(1))}
	if _, err := db.Collection(journalCollection).InsertOne(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	m.doubtful = append(m.doubtful, entry.ID)
	state, err := m.Load(t.Context())
	if err != nil || len(state.Users) != 0 || journalEntries(t, db) != 0 {
		t.Errorf("%+v, %v", state, err)
	}
}

// TestMongoServerKilled: a Write while the server is away fails in its time and
// leaves nothing, and those before and after it hold.
func TestMongoServerKilled(t *testing.T) {
	t.Parallel()
	server := mongotest.Own(t)
	opts, _ := parseMongoAddress(mongoAddress(server, "regctl"))
	opts.Timeout = 5 * time.Second
	m, err := OpenMongo(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Write(t.Context(), numbered(1)); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	for _, c := range []Change{numbered(2), {PutUsers: []User{{Name: "3"}}}} {
		if err := m.Write(t.Context(), c); err == nil || refused(err) {
			t.Errorf("while the server is away: %v", err)
		}
	}
	if _, err := m.Load(t.Context()); err == nil {
		t.Error("Load while the server is away: no error")
	}
	server.Restart(t)
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err = m.Write(deadline, numbered(4)); err != nil && deadline.Err() == nil; err = m.Write(deadline, numbered(4)) {
	}
	if err != nil {
		t.Fatal(err)
	}
	state, err := m.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := State{}.Apply(numbered(1)).Apply(numbered(4))
	sameKeys(t, "users", state.Users, want.Users)
	sameKeys(t, "tokens", state.Tokens, want.Tokens)
}
