package auth

import (
	"encoding/base64"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzScope: what parses is within the limits, has its actions sorted, and means
// the same when it is written again.
func FuzzScope(f *testing.F) {
	for _, text := range []string{
		"repository:test:pull,push", "repository(plugin):a/b:pull", "repository:host.io:5000/lab/x:pull",
		"registry:catalog:*", "repository::", "repository:a:,pull,", "Repository:a:pull", "a:b:c:d:e", "",
	} {
		f.Add(text)
	}
	kinds := regexp.MustCompile(`^[a-z0-9]+$`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScope(text)
		if err != nil {
			if _, ok := err.(badRequest); !ok {
				t.Fatalf("%q: %v is not the client's fault", text, err)
			}
			return
		}
		if !kinds.MatchString(s.kind) || s.class != "" && !kinds.MatchString(s.class) {
			t.Fatalf("%q: type %q, class %q", text, s.kind, s.class)
		}
		if len(s.name) > maxText || len(s.actions) == 0 || len(s.actions) > maxActions || !slices.IsSorted(s.actions) {
			t.Fatalf("%q: %+v", text, s)
		}
		again, err := parseScope(s.String())
		if err != nil || again.String() != s.String() || again.name != s.name || !slices.Equal(again.actions, s.actions) {
			t.Fatalf("%q: %+v, then %+v, %v", text, s, again, err)
		}
		list, err := parseScopes([]string{s.String()})
		if want := strings.Count(s.String(), " ") + 1; want == 1 && (err != nil || len(list) != want) {
			t.Fatalf("%q in a list: %v, %v", text, list, err)
		}
	})
}

// FuzzClientAddr: nobody but a trusted proxy chooses the address, and the proxy's
// own line of the header beats what a client sent before it.
func FuzzClientAddr(f *testing.F) {
	f.Add("192.0.2.1:1234", "198.51.100.7", "203.0.113.9", 0)
	f.Add("10.0.0.1:1", "1.1.1.1, 2.2.2.2", "[2001:db8::7]:80", -1)
	f.Add("@", "", "::ffff:10.0.0.1", -2)
	f.Add("[::ffff:10.0.0.1]:1", "fe80::1%eth0", "x,", 1)
	trusted := prefixes("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, peer, first, second string, pos int) {
		cfg := ServerConfig{RealIPHeader: "X-Forwarded-For", RealIPPos: pos, TrustedProxies: trusted}
		r := httptest.NewRequest("GET", "/auth", nil)
		r.RemoteAddr = peer
		r.Header.Add("X-Forwarded-For", first)
		r.Header.Add("X-Forwarded-For", second)
		got, err := cfg.clientAddr(r)
		if err == nil && (got.Is4In6() || got.Zone() != "") {
			t.Fatalf("address %v", got)
		}
		from, socket := peerAddr(peer)
		switch {
		case !socket && !cfg.trusts(from):
			if err == nil && got != from || (err == nil) != from.IsValid() {
				t.Fatalf("peer %q is believed: %v, %v", peer, got, err)
			}
		case err == nil && !got.IsValid():
			t.Fatal("a proxy's client has no address")
		case pos == -1:
			last := second[strings.LastIndex(second, ",")+1:]
			want, ok := parseAddr(strings.TrimSpace(last))
			if (err == nil) != ok || ok && got != want {
				t.Fatalf("%q, %q: %v, %v; want %v", first, second, got, err, want)
			}
		}
		if err == nil && got.IsValid() {
			if again, ok := parseAddr(got.String()); !ok || again != got {
				t.Fatalf("%v reads as %v", got, again)
			}
			if !network(got).Contains(got) {
				t.Fatalf("%v is not in its network %v", got, network(got))
			}
		}
	})
}

// FuzzCredentials: Basic and form credentials arrive byte for byte, an account is
// never another than the one whose password was sent, and no error has the
// password.
func FuzzCredentials(f *testing.F) {
	f.Add("alice", "secret", "", "service=s", "grant_type=password")
	f.Add("alice", "a:b&c=d%zz", "bob", "account=x;y", "username=eve&password=x")
	f.Add("", "", "alice", "%zz&scope=a:b:c", "grant_type=refresh_token&refresh_token=r")
	f.Add("a\x00b", "\xff", "a", "", "access_type=offline\n")
	f.Fuzz(func(t *testing.T, user, password, account, query, body string) {
		addr := netip.MustParseAddr("192.0.2.1")
		values := url.Values{"username": {user}, "password": {password}}
		if account != "" {
			values.Set("account", account)
		}
		form := httptest.NewRequest("POST", "/auth", strings.NewReader(values.Encode()))
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q, err := parseTokenRequest(httptest.NewRecorder(), form, addr)
		if err == nil {
			want := tokenRequest{account: user, password: password}
			if user == "" || password == "" { // docker_auth: anonymous
				want = tokenRequest{}
			}
			if account != "" {
				want.account = account
			}
			if q.account != want.account || q.password != want.password {
				t.Fatalf("form: %q, %q; want %q, %q", q.account, q.password, want.account, want.password)
			}
		}

		r := httptest.NewRequest("POST", "/auth", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
		q, err = parseTokenRequest(httptest.NewRecorder(), r, addr)
		if err != nil {
			if len(password) > 8 && !strings.Contains(user+query+body, password) && strings.Contains(err.Error(), password) {
				t.Fatalf("the password is in %q", err)
			}
			return
		}
		// The first colon ends the user (RFC 7617).
		if wantUser, wantPassword, _ := strings.Cut(user+":"+password, ":"); q.account != wantUser || q.password != wantPassword {
			t.Fatalf("Basic: %q, %q; want %q, %q", q.account, q.password, wantUser, wantPassword)
		}
		if max(len(q.account), len(q.service), len(q.clientID)) > maxText || len(q.scopes) > maxScopes {
			t.Fatalf("over the limits: %+v", q)
		}
	})
}
