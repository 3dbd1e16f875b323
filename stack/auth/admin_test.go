package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// kind returns the kind of an admin operation's error, "" for none.
func kind(t *testing.T, err error) ErrorKind {
	t.Helper()
	var e *AdminError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		t.Errorf("an error without a kind: %v", err)
	}
	return e.Kind
}

// asAdmin sends a body to the admin API the way a command's connection would.
func asAdmin(h *Server, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.RemoteAddr = fmt.Sprintf("uid %d", os.Geteuid())
	w := httptest.NewRecorder()
	h.AdminHandler().ServeHTTP(w, r)
	return w
}

func TestAdminRequests(t *testing.T) {
	s, _ := storedServer(t)
	before := s.State()
	for _, test := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/user/list", `{}`, 200, `"username":"waldi"`},
		{"/v1/user/list", ``, 400, `"kind":"usage"`},
		{"/v1/user/list", `[]`, 400, `cannot unmarshal array`},
		{"/v1/user/list", `{} {}`, 400, `more than one JSON value`},
		{"/v1/user/list", `{}x`, 400, `more than one JSON value`},
		{"/v1/user/frobnicate", `{}`, 404, `no operation POST /v1/user/frobnicate`},
		{"/v1/user/add", `{"username":"x","passwort":"y"}`, 400, `unknown field \"passwort\"`},
		{"/v1/acl/add", `{"match":{"team":"x"},"actions":["*"]}`, 400, `unknown field \"team\"`},
		{"/v1/acl/add", `{"match":{"name":"x"}}`, 400, `missing actions`},
		{"/v1/user/show", `{"username":"nobody"}`, 404, `no user \"nobody\"`},
		{"/v1/user/set", `{"username":"waldi","comment":"` + strings.Repeat("x", maxAdminBody) + `"}`, 400, `larger than 1048576 bytes`},
		{"/v1/token/revoke", `{}`, 400, `want an id`},
		{"/v1/token/revoke", `{"username":"waldi"}`, 400, `want an id`},
		{"/v1/audit/search", `{"outcomes":["good"]}`, 400, `outcome \"good\"`},
	} {
		w := asAdmin(s, test.path, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %.60s: %d %s, want %d %s", test.path, test.body, w.Code, w.Body, test.status, test.want)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %.60s: no JSON: %s", test.path, test.body, w.Body)
		}
	}
	r := httptest.NewRequest("GET", "/v1/user/list", nil)
	r.RemoteAddr = "uid 0"
	w := httptest.NewRecorder()
	s.AdminHandler().ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("GET: %d", w.Code)
	}
	if !reflect.DeepEqual(s.State(), before) {
		t.Error("the state has changed")
	}
}

// TestAdminSecrets: no answer and no audit record holds a secret.
func TestAdminSecrets(t *testing.T) {
	s, _ := storedServer(t)
	c := adminServer(t, s)
	ctx := t.Context()
	if _, err := c.AddUser(ctx, NewUser{Name: "ci", Password: "top-secret"}); err != nil {
		t.Fatal(err)
	}
	created, err := c.CreateToken(ctx, NewToken{User: "ci", Name: "build"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := parseSecret(tokenPrefix, created.Secret); !ok {
		t.Errorf("secret %q", created.Secret)
	}
	var said bytes.Buffer
	for path, body := range map[string]string{"user/list": "{}", "user/show": `{"username":"ci"}`, "token/list": "{}", "audit/search": "{}", "status": "{}"} {
		said.Write(asAdmin(s, "/v1/"+path, body).Body.Bytes())
	}
	for _, secret := range []string{"top-secret", created.Secret, s.State().Users["ci"].PasswordHash, "$2a$"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the answers hold %q", secret)
		}
	}
}

func admins(names ...string) store.Change {
	var c store.Change
	for _, name := range names {
		c.PutUsers = append(c.PutUsers, store.User{Name: name, PasswordHash: *hashed("pw"), Labels: map[string][]string{"role": {"admin"}}})
	}
	return c
}

// TestLastAdmin: each way to lose the last admin is refused, and allowed when
// another one can log in.
func TestLastAdmin(t *testing.T) {
	s, clock := storedServer(t)
	c := adminServer(t, s)
	ctx := t.Context()
	soon, later, yes := clock.now().Add(time.Hour), clock.now().Add(2*time.Hour), true
	ways := map[string]func() error{
		"remove":     func() error { _, err := c.RemoveUser(ctx, "boss"); return err },
		"disable":    func() error { _, err := c.SetUser(ctx, UserEdit{Name: "boss", Disabled: &yes}); return err },
		"expires":    func() error { _, err := c.SetUser(ctx, UserEdit{Name: "boss", Expires: &soon}); return err },
		"not before": func() error { _, err := c.SetUser(ctx, UserEdit{Name: "boss", NotBefore: &soon}); return err },
		"clear":      func() error { _, err := c.SetUser(ctx, UserEdit{Name: "boss", Clear: []string{"labels"}}); return err },
		"relabel": func() error {
			_, err := c.SetUser(ctx, UserEdit{Name: "boss", SetLabels: map[string][]string{"role": {"guest"}}})
			return err
		},
		"unlabel": func() error {
			_, err := c.SetUser(ctx, UserEdit{Name: "boss", RemoveLabels: map[string][]string{"role": nil}})
			return err
		},
		"unlabel value": func() error {
			_, err := c.SetUser(ctx, UserEdit{Name: "boss", RemoveLabels: map[string][]string{"role": {"admin"}}})
			return err
		},
	}
	others := map[string]struct {
		edit   func(*store.User)
		usable bool
	}{
		"usable":   {func(*store.User) {}, true},
		"disabled": {func(u *store.User) { u.Disabled = true }, false},
		"expired":  {func(u *store.User) { u.Expires = clock.now().Add(-time.Second) }, false},
		"pending":  {func(u *store.User) { u.NotBefore = soon }, false},
		"no admin": {func(u *store.User) { u.Labels = map[string][]string{"role": {"guest"}} }, false},
	}
	for way, lose := range ways {
		for what, other := range others {
			change(t, s, store.Change{DropUsers: []string{"boss", "other"}})
			change(t, s, admins("boss", "other"))
			editUser(t, s, "other", other.edit)
			before := s.State()
			err := lose()
			if got := kind(t, err); other.usable && got != "" || !other.usable && got != KindConflict {
				t.Errorf("%s with another admin %s: %v", way, what, err)
			}
			if !other.usable && !reflect.DeepEqual(s.State(), before) {
				t.Errorf("%s with another admin %s: the state has changed", way, what)
			}
		}
	}
	// What leaves the last admin in place is allowed.
	change(t, s, store.Change{DropUsers: []string{"other"}})
	change(t, s, admins("boss"))
	comment := "the boss"
	for _, edit := range []UserEdit{
		{Comment: &comment},
		{AddLabels: map[string][]string{"role": {"guest"}}},
		{Clear: []string{"expires"}},
	} {
		edit.Name = "boss"
		if _, err := c.SetUser(ctx, edit); err != nil {
			t.Errorf("%+v: %v", edit, err)
		}
	}
	editUser(t, s, "boss", func(u *store.User) { u.Expires = soon })
	if _, err := c.SetUser(ctx, UserEdit{Name: "boss", Expires: &later}); err != nil {
		t.Errorf("a later end: %v", err)
	}
	if _, err := c.SetUser(ctx, UserEdit{Name: "boss", Expires: &soon}); kind(t, err) != KindConflict {
		t.Errorf("an earlier end: %v", err)
	}
}

// An account that the configuration hides cannot log in, so it is no other admin.
func TestLastAdminHidden(t *testing.T) {
	s, _ := storedServer(t)
	change(t, s, admins("boss", "alice"))
	if _, err := adminServer(t, s).RemoveUser(t.Context(), "boss"); kind(t, err) != KindConflict {
		t.Errorf("%v", err)
	}
}

// TestLastAdminRace: of two admins that remove each other, one stays.
func TestLastAdminRace(t *testing.T) {
	s, _ := storedServer(t)
	c := adminServer(t, s)
	for range 20 {
		change(t, s, admins("a", "b"))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, name := range []string{"a", "b"} {
			wg.Go(func() { _, errs[i] = c.RemoveUser(t.Context(), name) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("removing both: %v, %v", errs[0], errs[1])
		}
	}
}

func TestStaticAdmin(t *testing.T) {
	cfg := vectorConfig()
	cfg.Users["static"] = StaticUser{PasswordHash: hashed("pw"), Labels: map[string][]string{"role": {"admin"}}}
	s, _ := newTestServer(t, cfg, openTestStore(t))
	change(t, s, admins("boss"))
	if _, err := adminServer(t, s).RemoveUser(t.Context(), "boss"); err != nil {
		t.Errorf("the configuration has another admin: %v", err)
	}
}

// changeLog is a store that remembers what was written, and fails when told to.
type changeLog struct {
	store.Store
	mu      sync.Mutex
	changes []store.Change
	fail    error
}

func (l *changeLog) Write(ctx context.Context, c store.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.changes = append(l.changes, c)
	return l.Store.Write(ctx, c)
}

// TestTokensEndWithPassword: what stands for a login ends with it, in the same
// change.
func TestTokensEndWithPassword(t *testing.T) {
	cfg := vectorConfig()
	log := &changeLog{Store: openTestStore(t)}
	s, _ := newTestServer(t, cfg, log)
	c := adminServer(t, s)
	ctx, yes, no, hash := t.Context(), true, false, []byte("hash")
	fill := func() {
		change(t, s, store.Change{
			PutUsers:   []store.User{{Name: "u", PasswordHash: *hashed("pw")}, {Name: "v", PasswordHash: *hashed("pw")}},
			PutTokens:  []store.Token{{ID: "t1", User: "u", Name: "ci", Hash: hash}, {ID: "t2", User: "v", Name: "ci", Hash: hash}},
			PutRefresh: []store.Refresh{{ID: "r1", User: "u", Hash: hash}, {ID: "r2", User: "u", Hash: hash}, {ID: "r3", User: "v", Hash: hash}},
		})
	}
	for _, test := range []struct {
		name            string
		do              func() error
		tokens, refresh []string
	}{
		{"passwd", func() error { _, err := c.SetPassword(ctx, NewPassword{Name: "u", Password: "new"}); return err }, nil, []string{"r1", "r2"}},
		{"disable", func() error { _, err := c.SetUser(ctx, UserEdit{Name: "u", Disabled: &yes}); return err }, nil, []string{"r1", "r2"}},
		{"enable", func() error { _, err := c.SetUser(ctx, UserEdit{Name: "u", Disabled: &no}); return err }, nil, nil},
		{"comment", func() error { _, err := c.SetUser(ctx, UserEdit{Name: "u", Clear: []string{"comment"}}); return err }, nil, nil},
		{"remove", func() error {
			gone, err := c.RemoveUser(ctx, "u")
			if gone != (Removed{Tokens: 1, Refresh: 2}) {
				t.Errorf("removed %+v", gone)
			}
			return err
		}, []string{"t1"}, []string{"r1", "r2"}},
	} {
		fill()
		n := len(log.changes)
		if err := test.do(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if len(log.changes) != n+1 {
			t.Fatalf("%s: %d changes", test.name, len(log.changes)-n)
		}
		got := log.changes[n]
		slices.Sort(got.DropRefresh)
		if !slices.Equal(got.DropTokens, test.tokens) || !slices.Equal(got.DropRefresh, test.refresh) {
			t.Errorf("%s drops %q and %q, want %q and %q", test.name, got.DropTokens, got.DropRefresh, test.tokens, test.refresh)
		}
	}
}

// A new account does not take over the tokens of an older one of its name, which
// was in the configuration and so took none with it.
func TestNewUserHasNoTokens(t *testing.T) {
	s, _ := storedServer(t)
	c := adminServer(t, s)
	made, err := c.CreateToken(t.Context(), NewToken{User: "bob", Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := *s.current.Load().cfg
	cfg.Users = map[string]StaticUser{}
	if err := s.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddUser(t.Context(), NewUser{Name: "bob", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	if w, _ := exchange(t, s, basic(get(""), "bob", made.Secret)); w.Code != 401 {
		t.Errorf("the old token of another bob: %d", w.Code)
	}
}

func TestAdminStoreFails(t *testing.T) {
	log := &changeLog{Store: openTestStore(t)}
	s, _ := newTestServer(t, vectorConfig(), log)
	c := adminServer(t, s)
	log.fail = errors.New("disk full")
	_, err := c.AddUser(t.Context(), NewUser{Name: "u", Password: "pw"})
	if kind(t, err) != KindFailed || err.Error() != "writing to the store: disk full" {
		t.Errorf("got %v", err)
	}
	if len(s.State().Users) > 0 {
		t.Error("a user that was not written is in force")
	}
	if rows, _ := c.Audit(t.Context(), AuditSearch{Outcomes: []Outcome{Changed}}); len(rows) > 0 {
		t.Errorf("the audit log tells of a change: %s", rows)
	}
}

func TestAdminWithoutStore(t *testing.T) {
	s, _ := newTestServer(t, vectorConfig(), nil)
	c := adminServer(t, s)
	users, err := c.Users(t.Context())
	if err != nil || len(users) != 3 || users[0].Source != SourceConfig {
		t.Errorf("users %v, %v", users, err)
	}
	if _, err := c.AddUser(t.Context(), NewUser{Name: "u", Password: "pw"}); kind(t, err) != KindFailed || !strings.Contains(err.Error(), "has no store") {
		t.Errorf("add: %v", err)
	}
	if _, err := c.Audit(t.Context(), AuditSearch{}); kind(t, err) != KindFailed {
		t.Errorf("audit: %v", err)
	}
	if _, err := c.Tokens(t.Context(), ""); err != nil {
		t.Errorf("tokens: %v", err)
	}
}

// TestAdminConcurrently changes and reads from many sides; the race detector
// watches, and nothing may be lost.
func TestAdminConcurrently(t *testing.T) {
	s, _ := storedServer(t)
	c := adminServer(t, s)
	ctx := t.Context()
	const each = 8
	var wg sync.WaitGroup
	check := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range each {
		wg.Go(func() {
			name := fmt.Sprintf("user%d", i)
			_, err := c.AddUser(ctx, NewUser{Name: name, PasswordHash: *hashed("pw"), Labels: map[string][]string{"n": {fmt.Sprint(i)}}})
			check("add", err)
			_, err = c.CreateToken(ctx, NewToken{User: name, Name: "ci", Scopes: []string{"repository:*:pull"}})
			check("token", err)
		})
		wg.Go(func() {
			_, err := c.AddRule(ctx, NewRule{Match: store.Match{Name: ptr(fmt.Sprintf("r%d", i))}, Actions: []string{"pull"}})
			check("rule", err)
		})
		wg.Go(func() {
			_, err := c.SetUser(ctx, UserEdit{Name: "waldi", AddLabels: map[string][]string{"n": {fmt.Sprint(i)}}})
			check("set", err)
		})
		wg.Go(func() {
			_, err := c.TestRules(ctx, RuleTest{User: "waldi", Name: "test", Actions: []string{"pull"}})
			check("test", err)
			_, err = c.Users(ctx)
			check("list", err)
			_, err = c.Tokens(ctx, "")
			check("tokens", err)
		})
		wg.Go(func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, asWaldi("repository:test:pull"))
			if w.Code != 200 {
				t.Errorf("login: %d", w.Code)
			}
		})
	}
	wg.Wait()
	state, err := s.store.Load(ctx)
	check("load", err)
	if len(state.Users) != each+1 || len(state.Tokens) != each || len(state.Rules) != each+2 || len(state.Users["waldi"].Labels["n"]) != each {
		t.Errorf("%d users, %d tokens, %d rules, labels %v", len(state.Users), len(state.Tokens), len(state.Rules), state.Users["waldi"].Labels)
	}
}

func TestBootstrap(t *testing.T) {
	s, _ := newTestServer(t, &Config{Token: vectorConfig().Token}, openTestStore(t))
	ctx := t.Context()
	for _, bad := range []struct{ name, password string }{{"", "pw"}, {"a:b", "pw"}, {"admin", " "}} {
		if did, err := Bootstrap(ctx, s, bad.name, bad.password); did || err == nil || !emptyStore(s.State()) {
			t.Errorf("%q %q: %t, %v", bad.name, bad.password, did, err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	for i := range 4 {
		wg.Go(func() {
			did, err := Bootstrap(ctx, s, fmt.Sprintf("admin%d", i), "pw")
			if err != nil {
				t.Error(err)
			}
			if did {
				mu.Lock()
				winners++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	state := s.State()
	if winners != 1 || len(state.Users) != 1 || len(state.Rules) != len(DefaultRules()) {
		t.Fatalf("%d winners, users %v, rules %v", winners, state.Users, state.Rules)
	}
	for name := range state.Users {
		for _, scope := range []string{"repository:any/thing:delete,pull,push", "registry:catalog:*"} {
			_, claims := exchange(t, s, basic(get("scope="+scope), name, "pw"))
			if got := strings.Join(claims.Access[0].Actions, ","); !strings.HasSuffix(scope, ":"+got) {
				t.Errorf("%s: granted %q", scope, got)
			}
		}
	}
}

// TestBootstrapSocket: a fresh installation gets its admin through the socket,
// and no error or record has the password.
func TestBootstrapSocket(t *testing.T) {
	s, _ := newTestServer(t, &Config{Token: vectorConfig().Token}, openTestStore(t))
	c := adminServer(t, s)
	ctx := t.Context()
	for _, bad := range []struct{ name, password string }{{"", "top-secret"}, {"a:b", "top-secret"}, {"admin", "top-secret\x00"}, {"admin", strings.Repeat("top-secret", 8)}} {
		made, err := c.Bootstrap(ctx, bad.name, bad.password)
		if made || kind(t, err) != KindUsage || strings.Contains(err.Error(), "top-secret") || !emptyStore(s.State()) {
			t.Errorf("%q: %t, %v", bad.name, made, err)
		}
	}
	for _, want := range []bool{true, false} {
		if made, err := c.Bootstrap(ctx, "admin", "top-secret"); err != nil || made != want {
			t.Errorf("%t, %v, want %t", made, err, want)
		}
	}
	if state := s.State(); len(state.Users) != 1 || len(state.Rules) != len(DefaultRules()) {
		t.Errorf("%+v", state)
	}
	records, err := c.Audit(ctx, AuditSearch{})
	if err != nil || len(records) != 1 || strings.Contains(string(records[0]), "top-secret") || !strings.Contains(string(records[0]), `"client":"uid`) {
		t.Errorf("%s, %v", records, err)
	}
}

func TestStatus(t *testing.T) {
	s, _ := storedServer(t)
	c := adminServer(t, s)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got.Started, got.Version = time.Time{}, ""
	if want := (Status{Ready: true, Users: s.current.Load().accounts(), Rules: len(vectorConfig().ACL) + 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.audit.broken.Store(true)
	if got, _ := c.Status(t.Context()); got.Ready || got.Problem == "" {
		t.Errorf("with a broken audit log: %+v", got)
	}
}
