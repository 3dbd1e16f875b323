package provision

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"golang.org/x/sys/unix"

	"regctl/certs"
	"regctl/stack/auth"
)

// fault is something that is wrong with a stack, and what Verify says of it.
type fault struct {
	options stackOptions
	harm    func(s *testStack) // to the running stack

	proof string // that fails
	err   string // part of the error
	hint  string // part of it
}

// instead answers some requests in place of the next handler.
func instead(when func(*http.Request) bool, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if when(r) {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func always(*http.Request) bool { return true }

// before changes requests on their way.
func before(change func(r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			next.ServeHTTP(w, r)
		})
	}
}

// laxRegistry has a registry over the same storage that looks at no rights serve
// whoever brings a token.
func laxRegistry(s *testStack) func(http.Handler) http.Handler {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": s.paths.RegistryData()}, "delete": {"enabled": true},
	}}
	config.Catalog.MaxEntries, config.Tags.MaxTags, config.HTTP.Secret = 1000, 1000, "secret"
	app := handlers.NewApp(s.t.Context(), config)
	s.t.Cleanup(func() { app.Shutdown() })
	return instead(func(r *http.Request) bool { return r.Header.Get("Authorization") != "" }, app.ServeHTTP)
}

// laxAuth gives everybody the token of an admin.
func laxAuth(r *http.Request) {
	query := r.URL.Query()
	if query.Has("scope") {
		query.Del("account")
		r.URL.RawQuery = query.Encode()
		r.SetBasicAuth("admin", "admin's password")
	}
}

// faults are what can be wrong, by name.
func faults(t *testing.T) map[string]fault {
	return map[string]fault{
		"no redirect": {
			harm: func(s *testStack) { s.target.HTTPPort = freePort(t) }, proof: "redirect",
			err: "connection refused", hint: "nothing listens there",
		},
		"plain http is served": {
			options: stackOptions{redirect: status(http.StatusOK)}, proof: "redirect", err: `answers 200 OK to ""`,
		},
		"redirect to another name": {
			options: stackOptions{redirect: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://www.test"+r.URL.RequestURI(), http.StatusMovedPermanently)
			}},
			proof: "redirect", err: `answers 301 Moved Permanently to "https://www.test/v2/`,
		},
		"unknown name": {
			harm:  func(s *testStack) { s.target.Address, s.target.Host = "", "no.such.name.invalid" },
			proof: "redirect", err: "no.such.name.invalid", hint: "point an A or AAAA record of no.such.name.invalid at this host",
		},
		"nothing serves": {
			harm: func(s *testStack) { s.target.HTTPPort, s.target.HTTPSPort = 0, freePort(t) }, proof: "certificate",
			err: "connection refused", hint: "nothing listens there",
		},
		"another CA": {
			harm: func(s *testStack) {
				s.target.CAFile = must(certs.OpenLocalCA(filepath.Join(s.paths.Dir, "other"), time.Now)).CertFile()
			},
			proof: "certificate", err: "unknown authority", hint: "it is not signed by the CA in ",
		},
		"a CA that this host does not trust": {
			harm:  func(s *testStack) { s.target.CAFile = "" },
			proof: "certificate", err: "unknown authority", hint: "install the CA's certificate on this host",
		},
		"no certificate for the auth server": {
			harm:  func(s *testStack) { s.target.AuthHost, s.target.HTTPPort = "www.test", 0 },
			proof: "certificate", err: "www.test: remote error: tls: unrecognized name", hint: "the edge does not serve this name",
		},
		"expired": {
			// The leaf was made two months ago, for one month.
			options: stackOptions{clock: func() time.Time { return time.Now().AddDate(0, -2, 0) }},
			proof:   "certificate", err: "certificate has expired", hint: "renew the certificate",
		},
		"no token is asked for": {
			options: stackOptions{edge: instead(func(r *http.Request) bool { return r.URL.Path == "/v2/" }, status(http.StatusOK))},
			proof:   "challenge", err: `answers 200 OK with challenge ""`,
		},
		"another service": {
			harm: func(s *testStack) { s.target.Service = "other" }, proof: "challenge", err: `service=\"other\"`,
		},
		"no HSTS": {
			harm: func(s *testStack) { s.target.HSTS = true }, proof: "challenge", err: "no Strict-Transport-Security",
		},
		"dead auth server": {
			options: stackOptions{auth: instead(always, status(http.StatusBadGateway))},
			harm:    func(s *testStack) { s.stopAdmin() },
			proof:   "login", err: "no server answers", hint: "the auth server does not run",
		},
		"auth server out of reach": {
			options: stackOptions{auth: instead(always, status(http.StatusBadGateway))},
			proof:   "login", err: "the token server answers 502 to the right password",
		},
		"another signing key": {
			options: stackOptions{strange: true}, proof: "login",
			err: "the registry answers 401 Unauthorized to a token", hint: "trusts another signing CA",
		},
		"every password is right": {
			options: stackOptions{auth: before(func(r *http.Request) {
				r.SetBasicAuth("admin", "admin's password")
				r.URL.RawQuery = "service=Docker+registry"
			})},
			proof: "login", err: "the token server answers 200 to a wrong password",
		},
		"body limit": {
			options: stackOptions{edge: instead(func(r *http.Request) bool { return r.Method == http.MethodPatch }, status(http.StatusRequestEntityTooLarge))},
			proof:   "push", err: "413", hint: "client_max_body_size",
		},
		"full disk": {
			harm: func(s *testStack) { s.fill(s.paths.RegistryData()) }, proof: "push",
			err: "no space left on device", hint: "whether its disk is full",
		},
		"another layer": {
			options: stackOptions{registry: instead(func(r *http.Request) bool {
				return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
			}, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5)) })},
			proof: "pull", err: "verif",
		},
		"no mounts": {
			options: stackOptions{registry: before(func(r *http.Request) {
				if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/blobs/uploads/") {
					r.URL.RawQuery = ""
				}
			})},
			proof: "mount", err: "it answered POST 202, PATCH 202, PUT 201",
		},
		"everybody is an admin": {
			options: stackOptions{auth: before(laxAuth)}, proof: "denied", err: "a push to regctl-verify-denied was accepted",
		},
		"the registry looks at no rights": {
			options: stackOptions{lax: true}, proof: "denied", err: "a push to regctl-verify-denied was accepted",
		},
		"a refusal that is none": {
			options: stackOptions{registry: instead(func(r *http.Request) bool {
				return r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/"+deniedRepo)
			}, status(http.StatusBadGateway))},
			proof: "denied", err: "was not refused but ended with: ", hint: "look at the registry's log",
		},
	}
}

func TestVerifyFaults(t *testing.T) {
	t.Parallel()
	for name, f := range faults(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, f.options)
			if f.harm != nil {
				f.harm(s)
			}
			proofs, err := Verify(t.Context(), s.target)
			failed, ok := errors.AsType[*VerifyError](err)
			if !ok || failed.Proof != f.proof || !strings.Contains(failed.Err.Error(), f.err) || !strings.Contains(failed.Hint, f.hint) || (failed.Hint == "") != (f.hint == "") {
				t.Fatalf("got %+v, want %s: %q with hint %q", err, f.proof, f.err, f.hint)
			}
			before, _, _ := strings.Cut(everyProof, f.proof)
			last := proofs[len(proofs)-1]
			if names(proofs) != before+f.proof || last.OK || last.Hint != failed.Hint || last.Seen == "" {
				t.Errorf("proofs are %+v", proofs)
			}
			s.clean(said(proofs, err))
		})
	}
}

// fill puts a file system of a few pages in place of a directory.
func (s *testStack) fill(dir string) {
	s.t.Helper()
	if os.Getuid() != 0 {
		s.t.Skip("a small file system can only be mounted by root")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12k"); err != nil {
		s.t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	s.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
}

// Deletion is not allowed: the proof that fails is the last, and the account is
// gone all the same.
func TestVerifyWithoutDelete(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{registry: instead(func(r *http.Request) bool { return r.Method == http.MethodDelete }, status(http.StatusMethodNotAllowed))})
	proofs, err := Verify(t.Context(), s.target)
	failed, ok := errors.AsType[*VerifyError](err)
	if !ok || failed.Proof != "clean-up" || !strings.Contains(failed.Hint, "storage.delete.enabled") || names(proofs) != everyProof {
		t.Errorf("%v, %+v", err, proofs)
	}
	if n := len(s.server.State().Users); n != 1 {
		t.Errorf("there are %d accounts", n)
	}
	if len(s.tags()) != 1 {
		t.Errorf("tags: %q", s.tags())
	}
}

// The registry hangs when the image is to be removed: the account goes all the
// same.
func TestVerifyRegistryHangs(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{registry: instead(func(r *http.Request) bool { return r.Method == http.MethodDelete },
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })})
	_, err := Verify(t.Context(), s.target)
	if failed, ok := errors.AsType[*VerifyError](err); !ok || failed.Proof != "clean-up" {
		t.Errorf("got %v", err)
	}
	if state := s.server.State(); len(state.Users) != 1 || len(state.Rules) != len(auth.DefaultRules()) {
		t.Errorf("left: %+v", state)
	}
}

// A run that is interrupted leaves nothing, at whatever request that is.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	var count, at atomic.Int64
	var cancel atomic.Value
	s := newStack(t, stackOptions{edge: before(func(*http.Request) {
		if count.Add(1) == at.Load() {
			cancel.Load().(context.CancelFunc)()
		}
	})})
	interrupted := 0
	for n := int64(1); ; n += 3 {
		ctx, stop := context.WithCancel(t.Context())
		count.Store(0)
		at.Store(n)
		cancel.Store(stop)
		proofs, err := Verify(ctx, s.target)
		stop()
		s.clean(said(proofs, err))
		if err == nil {
			break
		}
		if interrupted++; !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at request %d: %v", n, err)
		}
	}
	if interrupted < 10 {
		t.Errorf("only %d requests were interrupted", interrupted)
	}
}

// What a killed run leaves ends by itself, and the next run removes it.
func TestVerifyAfterAKill(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{})
	killed := must(newVerification(s.target))
	for _, run := range []func(context.Context) (string, error){killed.login, killed.push, killed.mount} {
		if _, err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// It may be at work: another run does not touch it.
	if proofs, err := Verify(t.Context(), s.target); err != nil {
		t.Fatalf("%v, %+v", err, proofs)
	}
	if len(s.tags()) != 1 || len(s.server.State().Rules) != 3+len(auth.DefaultRules()) {
		t.Errorf("tags %q, rules %v", s.tags(), s.server.State().Rules)
	}
	ends := time.Now().Add(time.Second)
	must(s.admin.SetUser(t.Context(), auth.UserEdit{Name: killed.guest.name(), Expires: &ends}))
	for _, r := range killed.guest.rules() {
		must(s.admin.SetRule(t.Context(), auth.RuleEdit{Seq: *r.Seq, Expires: &ends}))
	}
	untilTrue(t, "the end of the account", func() bool { return time.Now().After(ends) })
	if code, _, err := killed.askToken(t.Context(), killed.guest.password.Reveal()); code != http.StatusUnauthorized || err != nil {
		t.Errorf("after its end the account gets %d, %v", code, err)
	}
	proofs, err := Verify(t.Context(), s.target)
	if err != nil || !strings.Contains(proofs[len(proofs)-1].Seen, "images of interrupted runs removed: 1") {
		t.Errorf("%v, %+v", err, proofs)
	}
	s.clean()
}

// There need not be a plain port; that this was not proven is said.
func TestVerifyWithoutPlainPort(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{})
	s.target.HTTPPort = 0
	proofs, err := Verify(t.Context(), s.target)
	if err != nil || !proofs[0].Skipped || proofs[0].OK || proofs[0].Seen != "not proven: there is no http port" {
		t.Errorf("%v, %+v", err, proofs)
	}
}

// Two runs at once do not meet.
func TestVerifyAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, stackOptions{})
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := Verify(t.Context(), s.target)
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.clean()
}

// The auth server dies under a run: that is said, and what could not be removed
// ends by itself.
func TestVerifyLosesTheAuthServer(t *testing.T) {
	t.Parallel()
	var s *testStack
	s = newStack(t, stackOptions{registry: before(func(r *http.Request) {
		if r.Method == http.MethodPut {
			s.stopAdmin()
		}
	})})
	proofs, err := Verify(t.Context(), s.target)
	failed, ok := errors.AsType[*VerifyError](err)
	if !ok || failed.Proof != "clean-up" || !errors.Is(err, auth.ErrNoServer) || failed.Hint == "" || names(proofs) != everyProof {
		t.Errorf("%v, %+v", err, proofs)
	}
	state, left := s.server.State(), 0
	soon := time.Now().Add(guestLife)
	for _, u := range state.Users {
		if strings.HasPrefix(u.Name, guestPrefix) {
			if left++; u.Expires.IsZero() || u.Expires.After(soon) {
				t.Errorf("account %+v does not end", u)
			}
		}
	}
	for _, r := range state.Rules {
		if r.Seq < 0 {
			if left++; r.Expires.IsZero() || r.Expires.After(soon) {
				t.Errorf("rule %+v does not end", r)
			}
		}
	}
	if left != 4 || len(s.tags()) != 0 {
		t.Errorf("left: %+v; tags %q", state, s.tags())
	}
}
