package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crashEnv names the database to write to; it turns the test binary into the
// child of testKill.
const crashEnv = "STORE_TEST_CRASH_DB"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeNumbers(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// numbered is change n: a record of each kind, and the end of those of n-keep.
func numbered(n int) Change {
	const keep = 100
	name := strconv.Itoa(n)
	c := Change{
		PutUsers:   []User{{Name: name, Comment: strings.Repeat(name+" ", 1+n%500)}},
		PutRules:   []Rule{{Seq: int64(n)}},
		PutTokens:  []Token{{ID: name, Hash: []byte(name)}},
		PutRefresh: []Refresh{{ID: name, Hash: []byte(name)}},
	}
	if old := n - keep; old > 0 {
		name := strconv.Itoa(old)
		c.DropUsers, c.DropRules = []string{name}, []int64{int64(old)}
		c.DropTokens, c.DropRefresh = []string{name}, []string{name}
	}
	return c
}

// writeNumbers writes numbered changes for ever and prints each number once its
// Write has returned. It begins after the number in the database.
func writeNumbers(database string) error {
	ctx := context.Background()
	s, err := openCrashing(ctx, database)
	if err != nil {
		return err
	}
	state, err := s.Load(ctx)
	if err != nil {
		return err
	}
	go func() {
		for {
			_ = s.AppendAudit(ctx, make([]AuditRow, 20))
		}
	}()
	for n := highest(state) + 1; ; n++ {
		if err := s.Write(ctx, numbered(n)); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// openCrashing opens the file at a path, or the MongoDB of mongoAddress.
func openCrashing(ctx context.Context, database string) (Store, error) {
	if opts, ok := parseMongoAddress(database); ok {
		return OpenMongo(ctx, opts)
	}
	return OpenSQLite(database, AuditLimit(50))
}

func highest(s State) int {
	var n int64
	for seq := range s.Rules {
		n = max(n, seq)
	}
	return int(n)
}

// TestSQLiteKill: what Write has acknowledged survives kill -9, and a change is
// never there in part.
func TestSQLiteKill(t *testing.T) {
	t.Parallel()
	testKill(t, filepath.Join(t.TempDir(), "auth.db"), 12, func(s Store) { wantIntact(t, s.(*SQLite)) })
}

func testKill(t *testing.T, database string, rounds int, wantIntact func(Store)) {
	t.Helper()
	acknowledged := 0
	for round := range rounds {
		acknowledged = max(acknowledged, killWriter(t, database))

		s, err := openCrashing(t.Context(), database)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		state, err := s.Load(t.Context())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if len(state.Refused) > 0 {
			t.Errorf("round %d: refused %q", round, state.Refused)
		}
		found := highest(state)
		// The kill may have come between Write and its number.
		if found < acknowledged || found > acknowledged+1 {
			t.Fatalf("round %d: %d was acknowledged, %d found", round, acknowledged, found)
		}
		var want State
		for n := 1; n <= found; n++ {
			want = want.Apply(numbered(n))
		}
		sameKeys(t, "users", state.Users, want.Users)
		sameKeys(t, "rules", state.Rules, want.Rules)
		sameKeys(t, "tokens", state.Tokens, want.Tokens)
		sameKeys(t, "refresh tokens", state.Refresh, want.Refresh)
		for name, user := range state.Users {
			if user.Comment != want.Users[name].Comment {
				t.Errorf("round %d: user %s has another comment", round, name)
			}
		}
		wantIntact(s)
		if err := s.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acknowledged = found
	}
	t.Logf("%d changes over %d kills", acknowledged, rounds)
}

// killWriter lets a child write to the database, kills it at a random moment
// and returns the last number it acknowledged.
func killWriter(t *testing.T, database string) int {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+database)
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// So many numbers on, and at any point of the writes that follow.
	moment, delay := 1+rand.IntN(40), time.Duration(rand.Int64N(int64(5*time.Millisecond)))
	last := 0
	lines := bufio.NewScanner(stdout)
	for seen := 0; lines.Scan(); {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if seen++; seen == moment {
			time.AfterFunc(delay, func() { _ = child.Process.Kill() })
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer was not killed: %v: %s", err, stderr.String())
	}
	return last
}

func sameKeys[K comparable, V any](t *testing.T, kind string, got, want map[K]V) {
	t.Helper()
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s: %v is missing", kind, key)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d, want %d", kind, len(got), len(want))
	}
}

// wantIntact fails the test unless SQLite finds the whole file in order and
// audit ids have no gaps.
func wantIntact(t *testing.T, s *SQLite) {
	t.Helper()
	var verdict string
	if err := s.readers.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %s %v", verdict, err)
	}
	var rows, span int
	err := s.readers.QueryRow("SELECT count(*), coalesce(max(id) - min(id) + 1, 0) FROM audit").Scan(&rows, &span)
	if err != nil || rows != span {
		t.Errorf("audit: %d rows over %d ids: %v", rows, span, err)
	}
}

// TestSQLiteSyncs: kill -9 leaves the system's caches alone, a power cut does
// not. What survives that is up to two settings, which must be those of each
// connection that writes, also of one that replaces a broken one.
func TestSQLiteSyncs(t *testing.T) {
	t.Parallel()
	s, err := OpenSQLite(filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		var mode string
		var synchronous int
		err := s.writer.QueryRow("SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous").Scan(&mode, &synchronous)
		if err != nil || mode != "wal" || synchronous != 2 {
			t.Errorf("journal mode %s, synchronous %d, error %v; want wal, 2 (FULL)", mode, synchronous, err)
		}
		s.writer.SetMaxIdleConns(0) // closes the connection
		s.writer.SetMaxIdleConns(1)
	}
}

// TestSQLiteFull: a write that finds no space fails, harms nothing, and works
// once there is space.
func TestSQLiteFull(t *testing.T) {
	t.Parallel()
	t.Run("disk", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("SKIPPED: no small file system to fill: mounting a tmpfs: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		ballast := filepath.Join(dir, "ballast")
		testFull(t, filepath.Join(dir, "auth.db"), func(*SQLite) {
			fill(t, ballast)
		}, func(*SQLite) {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		})

		fill(t, ballast)
		path := filepath.Join(dir, "new.db")
		if _, err := OpenSQLite(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("a new database on a full disk: %v", err)
		}
	})
	t.Run("database", func(t *testing.T) {
		pages := func(n int) func(*SQLite) {
			return func(s *SQLite) {
				if _, err := s.writer.Exec(fmt.Sprint("PRAGMA max_page_count = ", n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		testFull(t, filepath.Join(t.TempDir(), "auth.db"), pages(1), pages(1_000_000))
	})
}

func testFull(t *testing.T, path string, fill, free func(*SQLite)) {
	s, err := OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	user := func(n int) Change {
		return Change{PutUsers: []User{{Name: strconv.Itoa(n), Comment: strings.Repeat("x", 50_000)}}}
	}
	wantUsers := func(n int) {
		t.Helper()
		state, err := s.Load(t.Context())
		if err != nil || len(state.Users) != n {
			t.Fatalf("%d users and error %v, want %d", len(state.Users), err, n)
		}
		wantIntact(t, s)
	}
	if err := s.Write(t.Context(), user(1)); err != nil {
		t.Fatal(err)
	}
	fill(s)
	for range 3 {
		err := s.Write(t.Context(), user(2))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "full") {
			t.Fatalf("writing without space: %v", err)
		}
		wantUsers(1)
	}
	free(s)
	if err := s.Write(t.Context(), user(2)); err != nil {
		t.Fatalf("writing with space again: %v", err)
	}
	wantUsers(2)

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSQLite(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantUsers(2)
}

// fill writes to a new file until the file system is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 4096; size > 0; {
		n, err := f.Write(make([]byte, size))
		if errors.Is(err, unix.ENOSPC) && n == 0 {
			size /= 2
		} else if err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}
