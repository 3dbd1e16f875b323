// Package storetest holds the contract of store.Store as tests. A backend
// passes when Run passes on it.
package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// AuditLimit is the number of audit rows that the stores under test must be set
// to keep. They may keep up to a tenth more between two prunings.
const AuditLimit = 1000

// Run tests the stores that open returns. Each call of open gets a directory
// that stands for one database: another call with the same directory, after
// Close, must find what was there. Run closes what it opens.
func Run(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, db database)
	}{
		{"Empty", testEmpty},
		{"Fields", testFields},
		{"OddNames", testOddNames},
		{"Match", testMatch},
		{"Times", testTimes},
		{"PutReplaceDrop", testPutReplaceDrop},
		{"DropBeforePut", testDropBeforePut},
		{"LastPutWins", testLastPutWins},
		{"NoCascade", testNoCascade},
		{"RandomChanges", testRandomChanges},
		{"CancelledWrite", testCancelledWrite},
		{"Touch", testTouch},
		{"AuditSearch", testAuditSearch},
		{"AuditOrder", testAuditOrder},
		{"AuditLimit", testAuditLimit},
		{"AuditPruning", testAuditPruning},
		{"Concurrent", testConcurrent},
		{"Reopen", testReopen},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, database{dir: t.TempDir(), openStore: open})
		})
	}
}

// database is where one test keeps its store.
type database struct {
	dir       string
	openStore func(t *testing.T, dir string) store.Store
}

// open opens the store until the end of the test.
func (db database) open(t *testing.T) store.Store {
	t.Helper()
	s := db.openStore(t, db.dir)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func write(t *testing.T, s store.Store, c store.Change) {
	t.Helper()
	if err := s.Write(t.Context(), c); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

// wantState fails the test unless the store holds want.
func wantState(t *testing.T, s store.Store, want store.State) {
	t.Helper()
	got := load(t, s)
	wantRecords(t, "users", got.Users, want.Users)
	wantRecords(t, "rules", got.Rules, want.Rules)
	wantRecords(t, "tokens", got.Tokens, want.Tokens)
	wantRecords(t, "refresh tokens", got.Refresh, want.Refresh)
	if t.Failed() {
		t.FailNow()
	}
}

func load(t *testing.T, s store.Store) store.State {
	t.Helper()
	state, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return state
}

func wantRecords[K comparable, V any](t *testing.T, kind string, got, want map[K]V) {
	t.Helper()
	for key, record := range want {
		if loaded, ok := got[key]; !ok {
			t.Errorf("%s: %#v is missing", kind, key)
		} else if !reflect.DeepEqual(loaded, record) {
			t.Errorf("%s: %#v differs\n got %s\nwant %s", kind, key, show(loaded), show(record))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %#v should not be there", kind, key)
		}
	}
}

// show prints a record twice: JSON leaves out the hashes, %+v what pointers
// point to.
func show(record any) string {
	text, err := json.Marshal(record)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %+v", text, record)
}

// at is a moment in 2027, d later than its first.
func at(d time.Duration) time.Time {
	return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Add(d)
}

// full is a change that puts one record of each kind, with every field set, its
// keys and fields made from name and seq.
func full(name string, seq int64) store.Change {
	window := store.Window{NotBefore: at(time.Duration(seq) * time.Millisecond), Expires: at(time.Hour)}
	return store.Change{
		PutUsers: []store.User{{
			Name: name, PasswordHash: "$2y$05$hash of " + name, Disabled: true, Comment: "comment of " + name,
			Labels:  map[string][]string{"full-access": {"test", "socke*"}, "none": {}, name: {name}},
			Created: at(time.Minute), Window: window,
		}},
		PutRules: []store.Rule{{
			Seq: seq, Actions: []string{"pull", "push", name}, Comment: "comment of " + name, Window: window,
			Match: store.Match{Account: &name, Type: new("repository"), Name: new("${labels:full-access}"),
				Service: new("registry"), IP: new("10.0.0.0/8"), Labels: map[string]string{"group": name}},
		}},
		PutTokens: []store.Token{{
			ID: "id-" + name, User: name, Name: "ci of " + name, Hash: []byte("\x00\xff token of " + name),
			Scopes: []string{"repository:prod/*:pull", name}, Created: at(time.Minute), LastUsed: at(time.Hour), Window: window,
		}},
		PutRefresh: []store.Refresh{{
			ID: "id-" + name, User: name, Service: "registry", ClientID: "docker", Hash: []byte("\x00\xff refresh of " + name),
			Created: at(time.Minute), LastUsed: at(time.Hour), Expires: at(2 * time.Hour),
		}},
	}
}

// drop is the change that undoes puts of the keys in state.
func drop(state store.State) store.Change {
	return store.Change{
		DropUsers:   slices.Collect(maps.Keys(state.Users)),
		DropRules:   slices.Collect(maps.Keys(state.Rules)),
		DropTokens:  slices.Collect(maps.Keys(state.Tokens)),
		DropRefresh: slices.Collect(maps.Keys(state.Refresh)),
	}
}
