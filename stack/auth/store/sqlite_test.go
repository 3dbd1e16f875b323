package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"regctl/stack/auth/store"
	"regctl/stack/auth/store/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		t.Helper()
		s, err := store.OpenSQLite(filepath.Join(dir, "auth.db"), store.AuditLimit(storetest.AuditLimit))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func openSQLite(t *testing.T, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func putUser(t *testing.T, s store.Store, name string) {
	t.Helper()
	if err := s.Write(t.Context(), store.Change{PutUsers: []store.User{{Name: name}}}); err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteFilesAreForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	putUser(t, openSQLite(t, path), "waldi")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Error(err)
		} else if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
}

func TestSQLiteOddPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a b", "100%", "%41", "a?mode=memory", "a#b", "a&b=c;d", "用户", "file:x"} {
		path := filepath.Join(dir, name)
		putUser(t, openSQLite(t, path), name)
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Error(err)
		}
	}
}

func TestSQLiteRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	s := openSQLite(t, "auth.db")
	t.Chdir(t.TempDir()) // connections are opened later, too
	putUser(t, s, "waldi")
	if state, err := s.Load(t.Context()); err != nil || len(state.Users) != 1 {
		t.Errorf("got %v and %v", state.Users, err)
	}
}

func TestSQLiteOneHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "auth.db"), filepath.Join(dir, "link.db")
	first := openSQLite(t, path)
	putUser(t, first, "before")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{path, link} {
		_, err := store.OpenSQLite(other)
		if !errors.Is(err, store.ErrLocked) {
			t.Fatalf("a second store at %s: %v", other, err)
		}
		wantWords(t, err, other, fmt.Sprintf("in use by process %d", os.Getpid()), path+".lock")
	}
	putUser(t, first, "after") // the attempts did no harm
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	state, err := openSQLite(t, link).Load(t.Context())
	if err != nil || len(state.Users) != 2 {
		t.Errorf("got %v and %v", state.Users, err)
	}
}

// TestSQLiteRefuses opens what is not a database of ours: one error that names
// the path, and not a byte changes.
func TestSQLiteRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"directory", func(t *testing.T, path string) { check(t, os.Mkdir(path, 0o700)) }, "is not a regular file"},
		{"device", func(t *testing.T, path string) { check(t, os.Symlink("/dev/null", path)) }, "is not a regular file"},
		{"dangling link", func(t *testing.T, path string) { check(t, os.Symlink("nowhere", path)) }, "no such file"},
		{"text file", func(t *testing.T, path string) {
			check(t, os.WriteFile(path, []byte(strings.Repeat("users:\n", 1000)), 0o600))
		}, "file is not a database"},
		{"short text file", func(t *testing.T, path string) { check(t, os.WriteFile(path, []byte("users: {}\n"), 0o600)) }, "file is not a database"},
		{"database of another program", func(t *testing.T, path string) {
			execSQL(t, path, "CREATE TABLE t (a); INSERT INTO t VALUES (1); PRAGMA user_version = 1")
		}, "another program"},
		{"database of another program with an id", func(t *testing.T, path string) {
			execSQL(t, path, "PRAGMA application_id = 7; CREATE TABLE t (a)")
		}, "another program"},
		{"newer schema", func(t *testing.T, path string) {
			check(t, openSQLite(t, path).Close())
			execSQL(t, path, "PRAGMA user_version = 99; CREATE TABLE new (a)")
		}, "schema version 99"},
		{"truncated", func(t *testing.T, path string) {
			s := openSQLite(t, path)
			putUser(t, s, "waldi")
			check(t, s.Close())
			check(t, os.Truncate(path, 8192))
		}, "malformed"},
		{"damaged schema", func(t *testing.T, path string) {
			s := openSQLite(t, path)
			putUser(t, s, "waldi")
			check(t, s.Close())
			overwrite(t, path, 100, 4096)
		}, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "auth.db")
			test.make(t, path)
			before, _ := os.ReadFile(path)
			_, err := store.OpenSQLite(path)
			wantWords(t, err, "store "+path+": opening: ", test.want)
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file has changed")
			}
		})
	}
}

// TestSQLiteDamagedRecords: a damaged page of users must not read as fewer
// users.
func TestSQLiteDamagedRecords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s := openSQLite(t, path)
	for n := range 200 {
		putUser(t, s, strings.Repeat(fmt.Sprint(n, " "), 100))
	}
	check(t, s.Close())
	info, err := os.Stat(path)
	check(t, err)
	for page := int64(1); page < info.Size()/4096; page++ {
		damaged := filepath.Join(t.TempDir(), "auth.db")
		data, err := os.ReadFile(path)
		check(t, err)
		check(t, os.WriteFile(damaged, data, 0o600))
		overwrite(t, damaged, page*4096, (page+1)*4096)
		s := openSQLite(t, damaged)
		state, err := s.Load(t.Context())
		if err == nil && len(state.Users) != 200 {
			t.Errorf("page %d: %d users and no error", page, len(state.Users))
		}
		if err != nil {
			wantWords(t, err, "store "+damaged+": reading: ", "malformed")
		}
		check(t, s.Close())
	}
}

func TestSQLiteMissingDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "auth.db")
	_, err := store.OpenSQLite(path)
	wantWords(t, err, "store "+path+": opening: ", "no such file or directory")
}

func TestSQLiteUnwritableDirectory(t *testing.T) {
	t.Parallel()
	dir, want := t.TempDir(), "permission denied"
	if os.Geteuid() == 0 { // whom modes do not stop
		check(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""))
		t.Cleanup(func() { check(t, unix.Unmount(dir, 0)) })
		want = "read-only file system"
	} else {
		check(t, os.Chmod(dir, 0o500))
	}
	path := filepath.Join(dir, "auth.db")
	_, err := store.OpenSQLite(path)
	wantWords(t, err, "store "+path+": opening: ", want)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func execSQL(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	check(t, err)
	_, err = db.Exec(query)
	check(t, errors.Join(err, db.Close()))
}

// overwrite fills the file with rubbish from byte from to byte to.
func overwrite(t *testing.T, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("rubbish", int(to-from)/7+1))[:to-from], from)
	check(t, errors.Join(err, f.Close()))
}
