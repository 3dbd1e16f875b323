package auth

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store"
)

// testClock is a clock that moves when told to.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var (
	testPairOnce = sync.OnceValue(func() *KeyPair {
		return testPair(&testing.B{}, elliptic.P256(), time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour), false)
	})
	testHash = sync.OnceValue(func() func(string) *string {
		var mu sync.Mutex
		known := map[string]*string{}
		return func(password string) *string {
			mu.Lock()
			defer mu.Unlock()
			if known[password] == nil {
				h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
				if err != nil {
					panic(err)
				}
				text := string(h)
				known[password] = &text
			}
			return known[password]
		}
	})
)

func hashed(password string) *string { return testHash()(password) }

func ptr[T any](v T) *T { return &v }

// vectorConfig is the configuration of the reference's request vectors.
func vectorConfig() *Config {
	return &Config{
		Server: ServerConfig{Addr: "127.0.0.1:0", Net: "tcp"},
		Token:  TokenConfig{Issuer: "test issuer", Expiration: 15 * time.Minute, Pair: testPairOnce(), X5C: true},
		Users: map[string]StaticUser{
			"alice": {PasswordHash: hashed("secret")},
			"bob":   {PasswordHash: hashed("bobspw")},
			"open":  {},
		},
		ACL: []store.Rule{
			{Seq: 0, Match: store.Match{Account: ptr("alice"), Name: ptr("star/*")}, Actions: []string{"*"}},
			{Seq: 1, Match: store.Match{Account: ptr("alice"), Name: ptr("/lab/")}, Actions: []string{"pull"}},
			{Seq: 2, Match: store.Match{Account: ptr(""), Name: ptr("pub")}, Actions: []string{"pull"}},
			{Seq: 3, Match: store.Match{Account: ptr("alice"), Type: ptr("registry")}, Actions: []string{"*"}},
		},
	}
}

// newTestServer serves cfg with a clock of its own.
func newTestServer(t testing.TB, cfg *Config, st store.Store) (*Server, *testClock) {
	t.Helper()
	clock := &testClock{t: time.Now()}
	s, err := New(t.Context(), cfg, Options{Store: st, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, clock
}

func get(query string) *http.Request { return httptest.NewRequest("GET", "/auth?"+query, nil) }

func basic(r *http.Request, user, password string) *http.Request {
	r.SetBasicAuth(user, password)
	return r
}

func form(query, body string) *http.Request {
	r := httptest.NewRequest("POST", "/auth?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func withHeader(r *http.Request, key, value string) *http.Request {
	r.Header.Set(key, value)
	return r
}

// exchange sends r and returns status, body and, on 200, the token's claims.
func exchange(t *testing.T, h http.Handler, r *http.Request) (*httptest.ResponseRecorder, claims) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var c claims
	if w.Code == http.StatusOK {
		var answer tokenResponse
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v in %q", err, w.Body)
		}
		if answer.Token == "" || answer.Token != answer.AccessToken || answer.ExpiresIn < 60 {
			t.Errorf("answer %+v", answer)
		}
		_, c = verified(t, answer.Token, testPairOnce().Cert)
	}
	return w, c
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func accessText(list []access) string {
	var out []string
	for _, a := range list {
		class := ""
		if a.Class != "" {
			class = "(" + a.Class + ")"
		}
		out = append(out, fmt.Sprintf("%s%s:%s:%s", a.Type, class, a.Name, strings.Join(a.Actions, ",")))
	}
	return strings.Join(out, " ")
}

// TestRequestVectors are the vectors of the reference, section 16.2, which were
// run against docker_auth. A row that we answer differently names the verdict of
// the reference's ledger.
func TestRequestVectors(t *testing.T) {
	const star = "scope=repository:star/a:push,pull"
	alice := func(query string) *http.Request { return basic(get(query), "alice", "secret") }
	multi := func() *http.Request {
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		m.WriteField("username", "alice")
		m.WriteField("password", "secret")
		m.WriteField("scope", "repository:star/a:pull")
		m.Close()
		return withHeader(httptest.NewRequest("POST", "/auth", &body), "Content-Type", m.FormDataContentType())
	}
	put := httptest.NewRequest("PUT", "/auth", strings.NewReader("username=alice&password=secret"))
	put.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rows := []struct {
		name      string
		request   *http.Request
		anonymous bool // with the user "" configured
		status    int
		sub       string
		access    string
		body      string // prefix, for errors
	}{
		{"no credentials, no parameters", get(""), true, 200, "", "", ""},
		{"no credentials, anonymous not configured", get(""), false, 401, "", "", "Auth failed."},
		{"anonymous pull", get("scope=repository:pub:pull,push"), true, 200, "", "repository:pub:pull", ""},
		{"wrong password", basic(get(star), "alice", "wrong"), false, 401, "", "", "Auth failed."},
		{"unknown user", basic(get(star), "carol", "secret"), false, 401, "", "", "Auth failed."},
		{"user with empty entry, any password", basic(get(""), "open", "anything"), false, 200, "open", "", ""},
		{"account is another", alice("account=bob"), false, 400, "", "", `Bad request: user and account are not the same ("alice" vs "bob")`},
		{"account is the same", alice("account=alice"), false, 200, "alice", "", ""},
		{"account without credentials", get("account=alice"), true, 401, "", "", "Auth failed."},
		{"account of a user without password", get("account=open"), false, 200, "open", "", ""},
		{"undecodable Basic", withHeader(get("scope=repository:pub:pull"), "Authorization", "Basic !!!"), true, 200, "", "repository:pub:pull", ""},
		{"Bearer", withHeader(get("scope=repository:pub:pull"), "Authorization", "Bearer abc"), true, 200, "", "repository:pub:pull", ""},
		{"basic in another case", withHeader(get(star), "Authorization", "bASIC "+base64.StdEncoding.EncodeToString([]byte("alice:secret"))), false, 200, "alice", "repository:star/a:pull,push", ""},
		{"POST form", form("", "grant_type=password&client_id=c&access_type=offline&service=s&username=alice&password=secret&"+star), false, 200, "alice", "repository:star/a:pull,push", ""},
		{"POST form, scope list", form("", "username=alice&password=secret&scope=repository:star/a:pull+repository:lab:pull"), false, 200, "alice", "repository:star/a:pull repository:lab:pull", ""},
		{"POST form, empty password", form("", "username=alice&password="), true, 200, "", "", ""},
		{"POST form, account replaces username", form("", "username=alice&password=bobspw&account=bob"), false, 200, "bob", "", ""},
		{"POST, credentials in the query", form("username=alice&password=secret", ""), false, 200, "alice", "", ""},
		{"GET, credentials in the query", get("username=alice&password=secret"), true, 200, "", "", ""},
		{"PUT form", put, true, 200, "", "", ""},
		{"POST JSON", withHeader(httptest.NewRequest("POST", "/auth", strings.NewReader(`{"username":"alice","password":"secret"}`)), "Content-Type", "application/json"), true, 200, "", "", ""},
		{"POST multipart", multi(), false, 200, "alice", "repository:star/a:pull", ""},
		{"refresh_token grant, unknown token: Q31 FIX", form("", "grant_type=refresh_token&refresh_token=x"), true, 401, "", "", "Auth failed."},
		{"two scope parameters", alice("scope=repository:star/a:pull&scope=repository:lab:push,pull"), false, 200, "alice", "repository:star/a:pull repository:lab:pull", ""},
		{"one scope with a space", alice("scope=repository:star/a:pull+repository:lab:push,pull"), false, 200, "alice", "repository:star/a:pull repository:lab:pull", ""},
		{"trailing space", alice(star + "+"), false, 400, "", "", "Bad request: malformed scope request"},
		{"double space", alice(star + "++repository:lab:pull"), false, 400, "", "", "Bad request: malformed scope request"},
		{"second scope empty", alice(star + "&scope="), false, 400, "", "", "Bad request: malformed scope request"},
		{"first scope empty, second filled: Q32 KEEP", alice("scope=&" + star), false, 200, "alice", "", ""},
		{"class: Q34 FIX", alice("scope=repository(plugin):star/a:pull"), false, 200, "alice", "repository(plugin):star/a:pull", ""},
		{"type with a capital: Q33 FIX", alice("scope=Repository:star/a:pull"), false, 400, "", "", "Bad request: malformed scope request"},
		{"type in capitals", alice("scope=REPO:star/a:pull"), false, 400, "", "", "Bad request: malformed scope request"},
		{"no type", alice("scope=:star/a:pull"), false, 400, "", "", "Bad request: malformed scope request"},
		{"no name", alice("scope=repository::pull"), false, 200, "alice", "repository::", ""},
		{"two fields", alice("scope=repository:star/a"), false, 400, "", "", `Bad request: invalid scope: "repository:star/a"`},
		{"five fields", alice("scope=repository:a:b:c:pull"), false, 400, "", "", `Bad request: invalid scope: "repository:a:b:c:pull"`},
		{"host and port in the name", alice("scope=repository:host.io:5000/lab/x:pull,push"), false, 200, "alice", "repository:host.io:5000/lab/x:pull", ""},
		{"repeated action on *", alice("scope=repository:star/a:pull,push,pull"), false, 200, "alice", "repository:star/a:pull,pull,push", ""},
		{"repeated action on a list", alice("scope=repository:lab:pull,push,pull"), false, 200, "alice", "repository:lab:pull", ""},
		{"the same scope twice", alice("scope=repository:lab:pull&scope=repository:lab:pull"), false, 200, "alice", "repository:lab:pull repository:lab:pull", ""},
		{"catalog", alice("scope=registry:catalog:*"), false, 200, "alice", "registry:catalog:*", ""},
		{"literal * on a list", alice("scope=repository:lab:*"), false, 200, "alice", "repository:lab:", ""},
		{"broken escape", alice("account=%zz"), false, 200, "alice", "", ""},
		{"pair with a semicolon", alice("service=s;" + star), false, 200, "alice", "", ""},
		{"scope in body and query", basic(form("scope=repository:lab:pull", "scope=repository:star/a:pull"), "alice", "secret"), false, 200, "alice", "repository:star/a:pull repository:lab:pull", ""},
		{"11 MB form: bounded bodies", basic(form("", "x="+strings.Repeat("y", 11<<20)), "alice", "secret"), false, 413, "", "", "Request body over 65536 bytes"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			cfg := vectorConfig()
			if row.anonymous {
				cfg.Users[""] = StaticUser{}
			}
			s, _ := newTestServer(t, cfg, nil)
			w, c := exchange(t, s, row.request)
			if w.Code != row.status {
				t.Fatalf("status %d, want %d: %s", w.Code, row.status, w.Body)
			}
			if row.status != 200 {
				if got := w.Body.String(); !strings.HasPrefix(got, row.body) || strings.Count(got, "\n") != 1 {
					t.Errorf("body %q", got)
				}
				return
			}
			if c.Subject != row.sub || accessText(c.Access) != row.access || c.Access == nil {
				t.Errorf("sub %q, access %q; want %q, %q", c.Subject, accessText(c.Access), row.sub, row.access)
			}
		})
	}
}

// An empty list of actions is one empty action: granted by *, not by a list.
func TestEmptyAction(t *testing.T) {
	s, _ := newTestServer(t, vectorConfig(), nil)
	for scope, want := range map[string][]string{"repository:star/a:": {""}, "repository:lab:": {}} {
		_, c := exchange(t, s, basic(get("scope="+scope), "alice", "secret"))
		if len(c.Access) != 1 || !reflect.DeepEqual(c.Access[0].Actions, want) {
			t.Errorf("%s: %+v", scope, c.Access)
		}
	}
}

func TestClaims(t *testing.T) {
	s, clock := newTestServer(t, vectorConfig(), nil)
	r := basic(get("service=Docker+registry&scope=repository:star/a:pull"), "alice", "secret")
	w, c := exchange(t, s, r)
	now := clock.now().Unix()
	if c.Issuer != "test issuer" || c.Audience != "Docker registry" || c.IssuedAt != now ||
		c.NotBefore != now-10 || c.Expires != now+900 || len(c.ID) < 20 {
		t.Errorf("claims %+v", c)
	}
	var keys map[string]any
	json.Unmarshal(w.Body.Bytes(), &keys)
	if len(keys) != 3 || keys["expires_in"] != 900.0 {
		t.Errorf("answer has %v", keys)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Header())
	}
	_, again := exchange(t, s, basic(get("scope=repository:star/a:pull"), "alice", "secret"))
	if again.ID == c.ID {
		t.Error("two tokens with one jti")
	}
}

func TestTokenResponseIsJSON(t *testing.T) {
	for _, want := range []tokenResponse{
		{AccessToken: "a.b-_", Token: "a.b-_", ExpiresIn: 60},
		{AccessToken: "a", Token: "a", ExpiresIn: 900, RefreshToken: "regctlr_x", Scope: ptr("repository:a\"\\<\n\u2028\xff:pull")},
		{Scope: ptr("")},
	} {
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got, again tokenResponse
		if err := errors.Join(json.Unmarshal(want.encode(), &got), json.Unmarshal(plain, &again)); err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%v: %s, encoding/json has %s", err, want.encode(), plain)
		}
	}
}

func TestPaths(t *testing.T) {
	cfg := vectorConfig()
	cfg.Token.Issuer = `<b>"x"`
	cfg.Server.HSTS = true
	prefixed := *cfg
	prefixed.Server.PathPrefix = "/p"
	rows := []struct {
		cfg          *Config
		method, path string
		status       int
		body         string
	}{
		{cfg, "GET", "/", 200, "<h1>&lt;b&gt;&#34;x&#34;</h1>\n"},
		{cfg, "GET", "/auth", 401, "Auth failed.\n"},
		{cfg, "GET", "/auth/token", 401, "Auth failed.\n"},
		{cfg, "GET", "/auth/", 404, "Not found\n"},
		{cfg, "GET", "//auth", 404, "Not found\n"},
		{cfg, "GET", "/token", 405, "Use POST.\n"},
		{cfg, "POST", "/token", 401, "Auth failed.\n"},
		{cfg, "GET", "/google_auth", 404, "Not found\n"},
		{cfg, "DELETE", "/auth", 401, "Auth failed.\n"},
		{&prefixed, "GET", "/p/auth", 401, "Auth failed.\n"},
		{&prefixed, "GET", "/auth", 404, "Not found\n"},
		{&prefixed, "GET", "/", 404, "Not found\n"},
		{&prefixed, "GET", "/p/", 200, "<h1>"},
	}
	for _, row := range rows {
		s, _ := newTestServer(t, row.cfg, nil)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
		if w.Code != row.status || !strings.HasPrefix(w.Body.String(), row.body) {
			t.Errorf("%s %s%s: %d %q", row.method, row.cfg.Server.PathPrefix, row.path, w.Code, w.Body)
		}
		if w.Header().Get("Strict-Transport-Security") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", row.path, w.Header())
		}
		if w.Code == 401 {
			//lint:ignore SA1008 docker_auth writes the name like this, and scripts grep for it
			if got := w.Header()["WWW-Authenticate"]; len(got) != 1 || got[0] != `Basic realm="<b>\"x\""` {
				t.Errorf("challenge %q", got)
			}
		}
	}
}

func TestClientAddress(t *testing.T) {
	proxied := ServerConfig{RealIPHeader: "X-Forwarded-For", TrustedProxies: prefixes("10.0.0.0/8", "127.0.0.0/8")}
	last := proxied
	last.RealIPPos = -1
	second := proxied
	second.RealIPPos = 1
	rows := []struct {
		cfg          ServerConfig
		peer, header string
		want         string // "" is an error
	}{
		{ServerConfig{}, "192.0.2.1:1234", "198.51.100.7", "192.0.2.1"},
		{ServerConfig{}, "[2001:db8::1]:1234", "", "2001:db8::1"},
		{ServerConfig{}, "[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
		{ServerConfig{}, "nonsense", "", ""},
		{ServerConfig{}, "@", "", "invalid IP"}, // Q7 FIX: a unix peer has no address
		{proxied, "10.1.2.3:1", "198.51.100.7, 10.0.0.9", "198.51.100.7"},
		{proxied, "@", "198.51.100.7", "198.51.100.7"},
		{proxied, "192.0.2.1:1", "198.51.100.7", "192.0.2.1"}, // not trusted
		{proxied, "10.1.2.3:1", "", ""},
		{proxied, "10.1.2.3:1", " , 1.2.3.4", ""},
		{proxied, "10.1.2.3:1", "198.51.100.7:80", "198.51.100.7"},
		{proxied, "10.1.2.3:1", "[2001:db8::7]:80", "2001:db8::7"},
		{proxied, "10.1.2.3:1", "2001:db8::7", "2001:db8::7"},
		{proxied, "10.1.2.3:1", "[2001:db8::7]", ""},
		{proxied, "10.1.2.3:1", "fe80::1%eth0", ""},
		{proxied, "10.1.2.3:1", "example.com", ""},
		{last, "10.1.2.3:1", "1.1.1.1, 2.2.2.2", "2.2.2.2"},
		{last, "10.1.2.3:1", "1.1.1.1", "1.1.1.1"},
		{last, "10.1.2.3:1", "1.1.1.1\n2.2.2.2", "2.2.2.2"}, // the client's line and then the proxy's
		{second, "10.1.2.3:1", "1.1.1.1, 2.2.2.2", "2.2.2.2"},
		{second, "10.1.2.3:1", "1.1.1.1", ""}, // Q9 FIX: 400
	}
	for _, row := range rows {
		r := httptest.NewRequest("GET", "/auth", nil)
		r.RemoteAddr = row.peer
		for line := range strings.Lines(row.header) {
			r.Header.Add("X-Forwarded-For", strings.TrimSpace(line))
		}
		got, err := row.cfg.clientAddr(r)
		if (err != nil) != (row.want == "") || err == nil && got.String() != row.want {
			t.Errorf("%+v: %v, %v", row, got, err)
		}
	}
}

func TestScopeLimits(t *testing.T) {
	s, _ := newTestServer(t, vectorConfig(), nil)
	many := strings.TrimSuffix(strings.Repeat("repository:a:pull ", maxScopes+1), " ")
	wide := "repository:a:" + strings.Repeat("pull,", maxActions) + "push"
	for _, scope := range []string{many, wide} {
		w, _ := exchange(t, s, basic(get("scope="+url.QueryEscape(scope)), "alice", "secret"))
		if w.Code != 400 || !strings.Contains(w.Body.String(), "more than") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	long := strings.Repeat("x", maxText+1)
	for name, r := range map[string]*http.Request{
		"type":          basic(get("scope="+long+":a:pull"), "alice", "secret"),
		"name":          basic(get("scope=repository:"+long+":pull"), "alice", "secret"),
		"action":        basic(get("scope=repository:a:"+long), "alice", "secret"),
		"service":       basic(get("service="+long), "alice", "secret"),
		"client_id":     basic(get("client_id="+long), "alice", "secret"),
		"user":          basic(get(""), long, "secret"),
		"account":       get("account=" + long),
		"form username": form("", "password=x&username="+long),
	} {
		if w, _ := exchange(t, s, r); w.Code != 400 || !strings.Contains(w.Body.String(), "longer than 1024 bytes") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
