package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store"
)

func openTestStore(t testing.TB) store.Store {
	t.Helper()
	st, err := store.OpenSQLite(filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// storedServer has user waldi (password "pw", labels of the article) and the
// article's two rules in a SQLite store.
func storedServer(t testing.TB) (*Server, *testClock) {
	t.Helper()
	cfg := vectorConfig()
	cfg.Token.Refresh, cfg.Token.RefreshExpiration = true, 90*24*time.Hour
	s, clock := newTestServer(t, cfg, openTestStore(t))
	change(t, s, store.Change{
		PutUsers: []store.User{{Name: "waldi", PasswordHash: *hashed("pw"), Labels: map[string][]string{"full-access": {"test", "socke*"}}}},
		PutRules: []store.Rule{
			{Seq: 10, Match: store.Match{Name: ptr("${labels:full-access}")}, Actions: []string{"*"}, Comment: "full access"},
			{Seq: 20, Match: store.Match{Name: ptr("${labels:read-only-access}")}, Actions: []string{"pull"}, Comment: "pull access"},
		},
	})
	return s, clock
}

func change(t testing.TB, s *Server, c store.Change) {
	t.Helper()
	if err := s.Change(t.Context(), func(store.State) (store.Change, error) { return c, nil }); err != nil {
		t.Fatal(err)
	}
}

func editUser(t testing.TB, s *Server, name string, edit func(*store.User)) {
	t.Helper()
	u := s.State().Users[name]
	edit(&u)
	change(t, s, store.Change{PutUsers: []store.User{u}})
}

func asWaldi(scope string) *http.Request { return basic(get("scope="+scope), "waldi", "pw") }

func TestArticle(t *testing.T) {
	s, _ := storedServer(t)
	for scope, want := range map[string]string{
		"repository:test:pull,push":        "pull,push",
		"repository:socken-test:pull,push": "pull,push",
		"repository:test-socke:pull,push":  "",
		"registry:catalog:*":               "",
	} {
		_, c := exchange(t, s, asWaldi(scope))
		if got := strings.Join(c.Access[0].Actions, ","); got != want {
			t.Errorf("%s: %q, want %q", scope, got, want)
		}
	}
}

func TestDatesOfUsers(t *testing.T) {
	s, clock := storedServer(t)
	end := clock.now().Add(10 * time.Minute).Truncate(time.Second)
	editUser(t, s, "waldi", func(u *store.User) { u.Expires = end })
	w, c := exchange(t, s, asWaldi("repository:test:pull"))
	if w.Code != 200 || c.Expires != end.Unix() {
		t.Errorf("token ends %d, the account %d", c.Expires, end.Unix())
	}
	clock.advance(9*time.Minute + 30*time.Second)
	if _, c = exchange(t, s, asWaldi("repository:test:pull")); c.Expires != end.Unix() {
		t.Errorf("token ends %d, the account %d", c.Expires, end.Unix())
	}
	clock.advance(time.Minute)
	if w, _ = exchange(t, s, asWaldi("repository:test:pull")); w.Code != 401 || w.Body.String() != "Auth failed: this account has expired.\n" {
		t.Errorf("expired: %d %s", w.Code, w.Body)
	}
	if w, _ = exchange(t, s, basic(get(""), "waldi", "wrong")); w.Body.String() != "Auth failed.\n" {
		t.Errorf("someone without the password learns %q", w.Body)
	}
	editUser(t, s, "waldi", func(u *store.User) { u.Window = store.Window{NotBefore: clock.now().Add(time.Hour)} })
	if w, _ = exchange(t, s, asWaldi("repository:test:pull")); w.Code != 401 {
		t.Errorf("before its time: %d", w.Code)
	}
	clock.advance(time.Hour)
	if w, _ = exchange(t, s, asWaldi("repository:test:pull")); w.Code != 200 {
		t.Errorf("at its begin: %d", w.Code)
	}
	editUser(t, s, "waldi", func(u *store.User) { u.Disabled = true })
	if w, _ = exchange(t, s, asWaldi("repository:test:pull")); w.Code != 401 {
		t.Errorf("disabled: %d", w.Code)
	}
}

func TestDatesOfRules(t *testing.T) {
	s, clock := storedServer(t)
	now := clock.now()
	deny := store.Rule{Seq: 5, Match: store.Match{Name: ptr("test")}, Actions: []string{}}
	deny.NotBefore = now.Add(5 * time.Minute).Truncate(time.Second)
	full := s.State().Rules[10]
	full.Expires = now.Add(8 * time.Minute).Truncate(time.Second)
	change(t, s, store.Change{PutRules: []store.Rule{deny, full}})

	_, c := exchange(t, s, asWaldi("repository:test:pull"))
	if c.Expires != deny.NotBefore.Unix() {
		t.Errorf("a rule that takes the right away begins %d, the token ends %d", deny.NotBefore.Unix(), c.Expires)
	}
	_, c = exchange(t, s, asWaldi("repository:socke:pull"))
	if c.Expires != full.Expires.Unix() {
		t.Errorf("the rule ends %d, the token %d", full.Expires.Unix(), c.Expires)
	}
	clock.advance(6 * time.Minute)
	if _, c = exchange(t, s, asWaldi("repository:test:pull")); len(c.Access[0].Actions) != 0 {
		t.Errorf("granted %v against the rule that began", c.Access)
	}
	clock.advance(3 * time.Minute)
	if _, c = exchange(t, s, asWaldi("repository:socke:pull")); len(c.Access[0].Actions) != 0 {
		t.Errorf("granted %v by an expired rule", c.Access)
	}
}

func TestNamedTokens(t *testing.T) {
	s, clock := storedServer(t)
	id, text, hash := newSecret(tokenPrefix)
	tok := store.Token{ID: id, User: "waldi", Name: "ci", Hash: hash, Scopes: []string{"repository:test:pull", "repository:sock*:push"}}
	tok.Expires = clock.now().Add(5 * time.Minute).Truncate(time.Second)
	change(t, s, store.Change{PutTokens: []store.Token{tok}})

	_, c := exchange(t, s, basic(get("scope=repository:test:pull,push&scope=repository:socke:pull,push&scope=repository:other:pull"), "waldi", text))
	if got := accessText(c.Access); got != "repository:test:pull repository:socke:push repository:other:" {
		t.Errorf("granted %q", got)
	}
	if c.Expires != tok.Expires.Unix() {
		t.Errorf("named token ends %d, its token %d", tok.Expires.Unix(), c.Expires)
	}
	if err := s.flushUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used := s.State().Tokens[id].LastUsed; !used.Equal(clock.now()) {
		t.Errorf("last used %v", used)
	}
	for name, r := range map[string]*http.Request{
		"another account": basic(get(""), "alice", text),
		"another secret":  basic(get(""), "waldi", text[:len(text)-2]+"AA"),
		"unknown id":      basic(get(""), "waldi", strings.Replace(text, id, "0123456789abcdef", 1)),
		"nobody":          basic(get(""), "nobody", text),
	} {
		if w, _ := exchange(t, s, r); w.Code != 401 || w.Body.String() != "Auth failed.\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w, _ := exchange(t, s, form("", "grant_type=password&access_type=offline&username=waldi&password="+text))
	if w.Code != 200 || strings.Contains(w.Body.String(), "refresh_token") {
		t.Errorf("a named token got a refresh token: %s", w.Body)
	}
	clock.advance(6 * time.Minute)
	if w, _ := exchange(t, s, basic(get(""), "waldi", text)); w.Code != 401 || !strings.Contains(w.Body.String(), "expired") {
		t.Errorf("expired: %d %s", w.Code, w.Body)
	}
	change(t, s, store.Change{DropTokens: []string{id}})
	if w, _ := exchange(t, s, basic(get(""), "waldi", text)); w.Code != 401 {
		t.Errorf("revoked: %d", w.Code)
	}
}

func refreshOf(t *testing.T, s *Server) string {
	t.Helper()
	w, _ := exchange(t, s, form("", "grant_type=password&access_type=offline&service=reg&client_id=docker&username=waldi&password=pw&scope=repository:test:pull"))
	var answer tokenResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.RefreshToken == "" {
		t.Fatalf("%v: no refresh token in %s", err, w.Body)
	}
	if answer.Scope == nil || *answer.Scope != "repository:test:pull" {
		t.Errorf("scope of the answer %v", answer.Scope)
	}
	return answer.RefreshToken
}

func TestRefreshTokens(t *testing.T) {
	s, clock := storedServer(t)
	text := refreshOf(t, s)
	use := func(extra string) *http.Request {
		return form("", "grant_type=refresh_token&service=reg&scope=repository:test:push&refresh_token="+text+extra)
	}
	w, c := exchange(t, s, use(""))
	if w.Code != 200 || c.Subject != "waldi" || accessText(c.Access) != "repository:test:push" || !strings.Contains(w.Body.String(), text) {
		t.Errorf("%d %+v", w.Code, c)
	}
	w, _ = exchange(t, s, basic(get("offline_token=true&service=reg"), "waldi", "pw"))
	if !strings.Contains(w.Body.String(), refreshPrefix) {
		t.Errorf("docker login got no refresh token: %s", w.Body)
	}
	refused := func(name string, r *http.Request) {
		t.Helper()
		if w, _ := exchange(t, s, r); w.Code != 401 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	refused("another service", form("", "grant_type=refresh_token&service=x&refresh_token="+text))
	refused("another account", use("&account=alice"))
	refused("named token as refresh token", form("", "grant_type=refresh_token&service=reg&refresh_token="+strings.Replace(text, refreshPrefix, tokenPrefix, 1)))
	if w, _ := exchange(t, s, form("", "grant_type=refresh_token&service=reg")); w.Code != 400 {
		t.Errorf("no token: %d", w.Code)
	}
	editUser(t, s, "waldi", func(u *store.User) { u.PasswordHash = *hashed("new") })
	refused("after a change of password", use(""))
	editUser(t, s, "waldi", func(u *store.User) { u.PasswordHash = *hashed("pw") })
	if w, _ := exchange(t, s, use("")); w.Code != 200 {
		t.Errorf("with the password as it was: %d", w.Code)
	}
	clock.advance(91 * 24 * time.Hour)
	refused("expired", use(""))

	kept := s.State().Refresh
	for id := range kept {
		change(t, s, store.Change{DropRefresh: []string{id}})
	}
	text = refreshOf(t, s)
	clock.advance(time.Second)
	for range maxRefreshTokens {
		refreshOf(t, s)
		clock.advance(time.Second)
	}
	if n := len(s.State().Refresh); n != maxRefreshTokens {
		t.Errorf("%d refresh tokens kept", n)
	}
	refused("pushed out by newer ones", use(""))
}

// A login that is under way when its account changes leaves no refresh token.
func TestRefreshTokenOfChangedAccount(t *testing.T) {
	for name, edit := range map[string]func(*store.User){
		"password": func(u *store.User) { u.PasswordHash = *hashed("new") },
		"disabled": func(u *store.User) { u.Disabled = true },
		"removed":  nil,
	} {
		s, _ := storedServer(t)
		old := s.current.Load()
		if edit == nil {
			change(t, s, store.Change{DropUsers: []string{"waldi"}})
		} else {
			editUser(t, s, "waldi", edit)
		}
		who := &principal{account: old.account("waldi"), via: "password"}
		text, err := s.refreshToken(t.Context(), old, who, &tokenRequest{offline: true})
		if _, ok := errors.AsType[*denied](err); !ok || text != "" || len(s.State().Refresh) > 0 {
			t.Errorf("%s: %q, %v, %d kept", name, text, err, len(s.State().Refresh))
		}
	}
}

// failingTouch is a store that cannot write times of last use.
type failingTouch struct {
	store.Store
	err error
}

func (f *failingTouch) Touch(ctx context.Context, lastUsed map[string]time.Time) error {
	if f.err != nil {
		return f.err
	}
	return f.Store.Touch(ctx, lastUsed)
}

// Times of last use that could not be written are written the next time.
func TestUsesAreKept(t *testing.T) {
	st := &failingTouch{openTestStore(t), errors.New("disk full")}
	s, clock := newTestServer(t, vectorConfig(), st)
	change(t, s, store.Change{PutTokens: []store.Token{{ID: "t", User: "alice", Hash: []byte("h")}}})
	s.uses.note("t", clock.now())
	if err := s.flushUses(t.Context()); err == nil {
		t.Error("no error")
	}
	st.err = nil
	if err := s.flushUses(t.Context()); err != nil {
		t.Error(err)
	}
	state, err := st.Load(t.Context())
	if used := state.Tokens["t"].LastUsed; err != nil || !used.Equal(clock.now().Truncate(time.Millisecond)) {
		t.Errorf("last used %v, %v", used, err)
	}
}

func TestRefreshTokensAreOptIn(t *testing.T) {
	s, _ := storedServer(t)
	text := refreshOf(t, s)
	cfg := *s.current.Load().cfg
	cfg.Token.Refresh = false
	if err := s.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	w, _ := exchange(t, s, basic(get("offline_token=true&service=reg"), "waldi", "pw"))
	if w.Code != 200 || strings.Contains(w.Body.String(), "refresh_token") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := exchange(t, s, form("", "grant_type=refresh_token&service=reg&refresh_token="+text)); w.Code != 401 {
		t.Errorf("old refresh token: %d", w.Code)
	}
}

func TestBudget(t *testing.T) {
	s, clock := storedServer(t)
	guess := func(addr, user, password string) *http.Request {
		r := basic(get(""), user, password)
		r.RemoteAddr = addr
		return r
	}
	for i := range pairBurst {
		if w, _ := exchange(t, s, guess("192.0.2.1:1", "waldi", "wrong")); w.Code != 401 {
			t.Fatalf("guess %d: %d", i, w.Code)
		}
	}
	w, _ := exchange(t, s, guess("192.0.2.1:2", "waldi", "wrong"))
	if w.Code != 429 || w.Header().Get("Retry-After") != "6" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w, _ = exchange(t, s, guess("192.0.2.1:2", "waldi", "pw")); w.Code != 429 {
		t.Errorf("right password over the budget: %d", w.Code)
	}
	for name, r := range map[string]*http.Request{
		"another account": guess("192.0.2.1:1", "alice", "secret"),
		"another address": guess("192.0.2.2:1", "waldi", "pw"),
		"known by now":    guess("192.0.2.1:1", "waldi", "pw"),
	} {
		if name == "known by now" {
			exchange(t, s, guess("192.0.2.2:1", "waldi", "pw"))
		}
		if w, _ := exchange(t, s, r); w.Code != 200 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	clock.advance(pairRefill)
	if w, _ = exchange(t, s, guess("192.0.2.1:1", "waldi", "wrong")); w.Code != 401 {
		t.Errorf("after a refill: %d", w.Code)
	}
	if w, _ = exchange(t, s, guess("192.0.2.1:1", "waldi", "wrong")); w.Code != 429 {
		t.Errorf("and one more: %d", w.Code)
	}
	six := func(host string) *http.Request { return guess("["+host+"]:1", "waldi", "wrong") }
	for range pairBurst {
		exchange(t, s, six("2001:db8:0:1::1"))
	}
	if w, _ = exchange(t, s, six("2001:db8:0:1:ffff::2")); w.Code != 429 {
		t.Errorf("same /64: %d", w.Code)
	}
	if w, _ = exchange(t, s, six("2001:db8:0:2::1")); w.Code != 401 {
		t.Errorf("another /64: %d", w.Code)
	}
}

// The budget keeps no text of a request: a short account may hold on to a long
// body of which it is a part.
func TestBudgetForgetsTexts(t *testing.T) {
	clock := &testClock{t: time.Now()}
	b := newBudget(clock.now)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const size = 1 << 20
	for i := range addressBurst {
		body := strings.Repeat(string(rune('a'+i)), size)
		if wait, _ := b.take(netip.Addr{}, body[:100]); wait > 0 {
			t.Fatalf("refused after %d", i)
		}
	}
	if after := heap(); after > before+addressBurst*size/4 {
		t.Errorf("%d entries keep %d bytes", b.entries.Len(), after-before)
	}
}

// One address that tries many accounts runs out as well.
func TestBudgetOfAddress(t *testing.T) {
	clock := &testClock{t: time.Now()}
	b := newBudget(clock.now)
	addr := prefixes("192.0.2.1/32")[0].Addr()
	for i := range addressBurst {
		if wait, _ := b.take(addr, string(rune('a'+i))); wait > 0 {
			t.Fatalf("refused after %d", i)
		}
	}
	if wait, _ := b.take(addr, "fresh"); wait <= 0 || wait > addressRefill {
		t.Errorf("wait %v", wait)
	}
}

// Many machines behind one address log in at once with the right password: none
// of that is a failure.
func TestBurstOfGoodLogins(t *testing.T) {
	s, _ := storedServer(t)
	var wg sync.WaitGroup
	for range 4 * pairBurst {
		wg.Go(func() {
			if w, _ := exchange(t, s, asWaldi("repository:test:pull")); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
}

// The work of a failed comparison is that of the dearest account, counted in
// bcrypt's own unit: 2^cost key expansions.
func TestEqualWork(t *testing.T) {
	const dearest = 8
	for _, cost := range []int{0, 4, 5, 7, 8} {
		var hash []byte
		if cost > 0 {
			hash, _ = bcrypt.GenerateFromPassword([]byte("right"), cost)
		}
		work := 0
		if compareWith(string(hash), "wrong", dearest, func(c int) { work += 1 << c }) {
			t.Fatal("accepted")
		}
		if cost > 0 {
			work += 1 << cost
		}
		if work != 1<<dearest {
			t.Errorf("cost %d: work %d, want %d", cost, work, 1<<dearest)
		}
	}
}

func TestVerifiedCredentials(t *testing.T) {
	s, clock := storedServer(t)
	hashes := 0
	s.creds.observe = func(time.Duration) { hashes++ }
	login := func(password string, want int) {
		t.Helper()
		if w, _ := exchange(t, s, basic(get(""), "waldi", password)); w.Code != want {
			t.Errorf("password %q: %d, want %d", password, w.Code, want)
		}
	}
	login("pw", 200)
	login("pw", 200)
	if hashes != 1 {
		t.Errorf("%d hashes for one credential", hashes)
	}
	clock.advance(verifiedFor)
	login("pw", 200)
	if hashes != 2 {
		t.Errorf("%d hashes after the credential's time", hashes)
	}
	editUser(t, s, "waldi", func(u *store.User) { u.PasswordHash = *hashed("new") })
	login("pw", 401)
	login("new", 200)
	editUser(t, s, "waldi", func(u *store.User) { u.Disabled = true })
	login("new", 401)
	change(t, s, store.Change{DropUsers: []string{"waldi"}})
	login("new", 401)
}

func TestHashQueueIsBounded(t *testing.T) {
	s, _ := storedServer(t)
	s.creds.waiting.Store(hashQueue)
	w, _ := exchange(t, s, asWaldi("repository:test:pull"))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	s.creds.waiting.Store(0)
	if w, _ = exchange(t, s, asWaldi("repository:test:pull")); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// A user "" with a password is an account like any other.
func TestAnonymousWithPassword(t *testing.T) {
	cfg := vectorConfig()
	cfg.Users[""] = StaticUser{PasswordHash: hashed("pw")}
	s, _ := newTestServer(t, cfg, nil)
	for password, want := range map[string]int{"pw": 200, "": 401, "x": 401} {
		if w, _ := exchange(t, s, basic(get(""), "", password)); w.Code != want {
			t.Errorf("password %q: %d", password, w.Code)
		}
	}
}

func TestStaticUserHidesStored(t *testing.T) {
	s, _ := storedServer(t)
	change(t, s, store.Change{PutUsers: []store.User{{Name: "alice", PasswordHash: *hashed("stored")}}})
	for password, want := range map[string]int{"secret": 200, "stored": 401} {
		if w, _ := exchange(t, s, basic(get(""), "alice", password)); w.Code != want {
			t.Errorf("%s: %d", password, w.Code)
		}
	}
}

func TestSecrets(t *testing.T) {
	id, text, hash := newSecret(tokenPrefix)
	gotID, gotHash, ok := parseSecret(tokenPrefix, text)
	if !ok || gotID != id || string(gotHash) != string(hash) {
		t.Errorf("%q: %q %v", text, gotID, ok)
	}
	for _, bad := range []string{"", text[1:], text + "x", text[:len(text)-1], strings.ToUpper(text), tokenPrefix, url.QueryEscape("%00")} {
		if _, _, ok := parseSecret(tokenPrefix, bad); ok {
			t.Errorf("took %q", bad)
		}
	}
}
