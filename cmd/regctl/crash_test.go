package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

// crashes is how often each crash test kills a server.
const crashes = 12

// randomly waits up to limit, to kill at a moment that nobody chose.
func randomly(limit time.Duration) { time.Sleep(rand.N(limit)) }

// A first run that is killed at any moment leaves a directory that the next run
// serves: all of the first admin and the rules, or nothing of them.
func TestKilledFirstRun(t *testing.T) {
	t.Parallel()
	for range crashes {
		dir := filepath.Join(t.TempDir(), "srv")
		first := launch(t, dir, "--tls")
		randomly(150 * time.Millisecond)
		first.kill()

		second := serve(t, dir, "--tls")
		second.stop()
		for _, name := range []string{"auth/signing-ca", "certs/local-ca"} {
			if _, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")); err != nil {
				t.Error(err)
			}
		}
		plain := serve(t, dir) // what the test's client speaks
		users, err := plain.admin().Users(t.Context())
		if err != nil || len(users) != 1 || users[0].Name != "admin" {
			t.Fatalf("users %v, %v", users, err)
		}
		if rules, err := plain.admin().Rules(t.Context()); err != nil || len(rules) != len(auth.DefaultRules()) {
			t.Errorf("rules %v, %v", rules, err)
		}
		password := first.firstPassword() + second.firstPassword()
		if password == "" { // killed after the account and before the words
			r := plain.command("", "user", "passwd", "admin", "--generate")
			password = strings.TrimSpace(r.stdout)
		}
		if first.firstPassword() != "" && second.firstPassword() != "" {
			t.Error("two runs printed a password")
		}
		if status, _ := plain.login("admin", password); status != http.StatusOK {
			t.Errorf("login of the first admin: %d", status)
		}
		plain.stop()
	}
}

// acknowledged is what the server said it had done.
type acknowledged struct {
	mu      sync.Mutex
	users   []string
	secrets map[string]string // of named tokens, by user
	rules   []int64
	removed []string
}

func (a *acknowledged) note(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// change makes accounts, tokens and rules until the server is gone.
func (a *acknowledged) change(t *testing.T, c *auth.Client, round int) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Error(err)
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("user-%d-%d", round, i)
		if _, err := c.AddUser(t.Context(), auth.NewUser{Name: name, PasswordHash: string(hash)}); err != nil {
			return
		}
		a.note(func() { a.users = append(a.users, name) })
		token, err := c.CreateToken(t.Context(), auth.NewToken{User: name, Name: "ci"})
		if err != nil {
			return
		}
		a.note(func() { a.secrets[name] = token.Secret })
		rule, err := c.AddRule(t.Context(), auth.NewRule{Match: store.Match{Account: &name}, Actions: []string{"pull"}})
		if err != nil {
			return
		}
		a.note(func() { a.rules = append(a.rules, rule.Seq) })
		if i%3 == 2 {
			a.note(func() { a.users = a.users[:len(a.users)-1] }) // from here on nobody knows
			if _, err := c.RemoveUser(t.Context(), name); err != nil {
				return
			}
			a.note(func() { a.removed = append(a.removed, name) })
		}
	}
}

// What was acknowledged survives a kill, and what was removed stays away.
func TestKilledWhileChanging(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "srv")
	s := serve(t, dir)
	all := 0
	for round := range crashes {
		done := &acknowledged{secrets: map[string]string{}}
		var changing sync.WaitGroup
		changing.Go(func() { done.change(t, s.admin(), round) })
		randomly(200 * time.Millisecond)
		s.kill()
		changing.Wait()

		s = serve(t, dir)
		if s.firstPassword() != "" {
			t.Fatal("a second first run")
		}
		done.check(t, s)
		all += len(done.users)
	}
	if all == 0 {
		t.Error("no server lived long enough to do anything")
	}
	s.stop()
}

func (a *acknowledged) check(t *testing.T, s *served) {
	t.Helper()
	rules, err := s.admin().Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range a.rules {
		if !slices.ContainsFunc(rules, func(r auth.RuleInfo) bool { return r.Seq == seq }) {
			t.Errorf("rule %d is gone", seq)
		}
	}
	for _, name := range a.users {
		if status, _ := s.login(name, "secret"); status != http.StatusOK {
			t.Errorf("login of %s: %d", name, status)
		}
		if secret, made := a.secrets[name]; made {
			if status, _ := s.login(name, secret); status != http.StatusOK {
				t.Errorf("login of %s with its token: %d", name, status)
			}
		}
	}
	for _, name := range a.removed {
		if status, _ := s.login(name, "secret"); status != http.StatusUnauthorized {
			t.Errorf("login of %s, who was removed: %d", name, status)
		}
	}
}

// A full disk stops changes, with the reason, and not the logins; status tells.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	mountpoint := t.TempDir()
	if err := unix.Mount("none", mountpoint, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mountpoint, unix.MNT_DETACH) })
	s := serve(t, filepath.Join(mountpoint, "srv"))
	add := func(name string) result { return s.command("secret", "user", "add", name, "--password-stdin") }
	if r := add("before"); r.code != 0 {
		t.Fatalf("%+v", r)
	}

	filler := filepath.Join(mountpoint, "filler")
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	var refused result
	for i := 0; i < 100 && refused.code == 0; i++ { // the log has room for some
		refused = add(fmt.Sprintf("during-%d", i))
		if refused.code == 0 {
			if status, _ := s.login(fmt.Sprintf("during-%d", i), "secret"); status != http.StatusOK {
				t.Errorf("login of an account that was acknowledged: %d", status)
			}
		}
	}
	if refused.code != 1 || !strings.Contains(refused.stderr, "full") || strings.Count(refused.stderr, "regctl: error: ") != 1 {
		t.Errorf("user add on a full disk: %+v", refused)
	}
	t.Log(refused.stderr)
	if status, _ := s.login("before", "secret"); status != http.StatusOK {
		t.Errorf("login on a full disk: %d", status)
	}
	var broken result
	if err := eventually("status", func() bool {
		s.login("before", "secret")
		broken = s.command("", "status")
		return broken.code == 4 && strings.Contains(broken.stdout, "the audit log cannot be written")
	}); err != nil {
		t.Errorf("%v: %+v", err, broken)
	}
	t.Log(broken.stdout)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if r := add("after"); r.code != 0 {
		t.Errorf("user add when there is room again: %+v", r)
	}
	if err := eventually("status", func() bool {
		s.login("after", "secret")
		return healthy(s.status())
	}); err != nil {
		t.Errorf("%v: %v", err, s.status())
	}
	s.stop()
	s = serve(t, s.dir)
	for _, name := range []string{"before", "after"} {
		if status, _ := s.login(name, "secret"); status != http.StatusOK {
			t.Errorf("login of %s after a restart: %d", name, status)
		}
	}
	s.stop()
}
