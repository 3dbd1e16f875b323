package auth

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"regctl/stack/auth/store"
)

// auditedServer is storedServer with an audit file; lines closes the server and
// reads what it wrote.
func auditedServer(t *testing.T) (s *Server, clock *testClock, lines func() []Record) {
	t.Helper()
	st := openTestStore(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	cfg := vectorConfig()
	cfg.Audit.File = path
	s, clock = newTestServer(t, cfg, st)
	return s, clock, func() []Record {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return readAudit(t, path)
	}
}

func readAudit(t *testing.T, path string) []Record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []Record
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var rec Record
		if err := json.Unmarshal(scan.Bytes(), &rec); err != nil {
			t.Fatalf("%v in line %q", err, scan.Text())
		}
		all = append(all, rec)
	}
	return all
}

func TestAuditOfDecisions(t *testing.T) {
	s, _, lines := auditedServer(t)
	requests := []*http.Request{
		basic(get("service=reg&scope=repository:star/a:pull"), "alice", "secret"),
		basic(get("scope=repository:star/a:pull&scope=repository:lab:pull,push&scope=repository:no:pull"), "alice", "secret"),
		basic(get("scope=repository:no:pull"), "alice", "secret"),
		basic(get("scope=repository:lab:pull,pull"), "alice", "secret"),
		basic(get(""), "alice", "secret"),
		basic(get(""), "alice", "WRONGPASSWORD"),
		basic(get(""), "nobody", "WRONGPASSWORD"),
		get("scope=x"),
	}
	want := []Record{
		{Outcome: Granted, Account: "alice", Via: "password", Service: "reg", Scopes: []RecordScope{{"repository:star/a:pull", []string{"pull"}, "0", ""}}},
		{Outcome: Partial, Account: "alice", Via: "password", Scopes: []RecordScope{
			{"repository:star/a:pull", []string{"pull"}, "0", ""}, {"repository:lab:pull,push", []string{"pull"}, "1", "the rule grants no more"}, {"repository:no:pull", []string{}, "", "no rule matches"}}},
		{Outcome: Denied, Account: "alice", Via: "password", Scopes: []RecordScope{{"repository:no:pull", []string{}, "", "no rule matches"}}},
		{Outcome: Granted, Account: "alice", Via: "password", Scopes: []RecordScope{{"repository:lab:pull,pull", []string{"pull"}, "1", ""}}},
		{Outcome: Granted, Account: "alice", Via: "password"},
		{Outcome: Refused, Account: "alice", Reason: "wrong password"},
		{Outcome: Refused, Account: "nobody", Reason: "unknown account"},
		{Outcome: BadRequest, Reason: `invalid scope: "x"`},
	}
	var tokens []claims
	for _, r := range requests {
		_, c := exchange(t, s, r)
		tokens = append(tokens, c)
	}
	got := lines()
	if len(got) != len(want) {
		t.Fatalf("%d records for %d requests", len(got), len(want))
	}
	for i, rec := range got {
		if rec.Client != "192.0.2.1" || rec.Time.IsZero() || rec.Request == "" || rec.TokenID != tokens[i].ID {
			t.Errorf("record %d: %+v", i, rec)
		}
		if (rec.Expires == nil) != (rec.TokenID == "") {
			t.Errorf("record %d: exp %v", i, rec.Expires)
		}
		rec.Client, rec.Time, rec.Request, rec.TokenID, rec.Expires = "", time.Time{}, "", "", nil
		gotText, _ := json.Marshal(rec)
		wantText, _ := json.Marshal(want[i])
		if string(gotText) != string(wantText) {
			t.Errorf("record %d\n got %s\nwant %s", i, gotText, wantText)
		}
	}
	rows, err := s.store.SearchAudit(t.Context(), store.AuditQuery{Account: ptr("nobody")})
	if err != nil || len(rows) != 1 || rows[0].Outcome != "refused" {
		t.Errorf("index: %+v, %v", rows, err)
	}
}

// Whatever a client sends: one line, in which the fields are ours, and no
// secret.
func TestAuditCannotBeForged(t *testing.T) {
	s, _, lines := auditedServer(t)
	evil := "x\n{\"outcome\":\"granted\",\"client\":\"203.0.113.9\"}\r\n\u2028\"}\x00\xff"
	exchange(t, s, basic(get("service=a%0Ab&scope=repository:a%0A%22:pull"), evil, "SECRETPW"))
	exchange(t, s, form("", "grant_type=refresh_token&refresh_token=SECRETPW%0A"))
	exchange(t, s, basic(get(""), "alice", "SECRETPW"))
	r := basic(get(""), "alice", "secret")
	r.Header.Set("X-Forwarded-For", "SECRETPW")
	exchange(t, s, r)
	for _, rec := range lines() {
		if rec.Client != "192.0.2.1" {
			t.Errorf("forged client %q", rec.Client)
		}
	}
	raw, err := os.ReadFile(*s.audit.path.Load())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "SECRETPW") {
		t.Errorf("a secret in the audit: %s", raw)
	}
	for line := range strings.Lines(string(raw)) {
		// fail2ban reads a line from the left and takes the first client.
		before, _, _ := strings.Cut(line, `"client":"192.0.2.1"`)
		if len(before) > 80 || strings.Contains(before, "account") {
			t.Errorf("text of the client before its address: %s", line)
		}
	}
}

// Nobody fills the disk without proving who he is.
func TestAuditOfStrangersIsShort(t *testing.T) {
	s, _, lines := auditedServer(t)
	scopes := strings.TrimSuffix(strings.Repeat("repository:"+strings.Repeat("x", 400)+":pull ", 100), " ")
	ask := func(user, password string) {
		t.Helper()
		exchange(t, s, basic(form("", url.Values{"scope": {scopes}, "service": {strings.Repeat("s", maxText)}}.Encode()), user, password))
	}
	ask(strings.Repeat("u", maxText), "x")
	ask("alice", "wrong")
	ask("alice", "secret")
	exchange(t, s, form("", "grant_type="+strings.Repeat("\x01", 10_000)))
	for i, want := range []int{clippedScopes + 1, clippedScopes + 1, 100, 0} {
		rec := lines()[i]
		size := len(rec.Account) + len(rec.Service) + len(rec.Reason)
		for _, sc := range rec.Scopes {
			size += len(sc.Asked)
		}
		if len(rec.Scopes) != want || want < 100 && size > (clippedScopes+4)*(clippedText+8) {
			t.Errorf("record %d: %d scopes, %d bytes", i, len(rec.Scopes), size)
		}
		if want == clippedScopes+1 && rec.Scopes[clippedScopes].Asked != "and 92 more" {
			t.Errorf("%+v", rec.Scopes[clippedScopes])
		}
	}
}

// echo is a store under constant load: each batch that is written makes another
// record.
type echo struct {
	store.Store
	log     *auditLog
	batches int
}

func (e *echo) AppendAudit(context.Context, []store.AuditRow) error {
	if e.batches++; e.batches < 1000 {
		e.log.write(&Record{})
	}
	return nil
}

// Who waits for the log waits for what came before him, not for all that comes.
func TestAuditSyncUnderLoad(t *testing.T) {
	e := &echo{}
	a, err := openAuditLog("", e, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e.log = a
	a.write(&Record{})
	if err := a.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if e.batches >= 1000 {
		t.Errorf("%d batches", e.batches)
	}
}

// Log rotation moves the file away; later records go to a new one.
func TestAuditRotation(t *testing.T) {
	s, _, lines := auditedServer(t)
	path := *s.audit.path.Load()
	exchange(t, s, basic(get(""), "alice", "secret"))
	for len(fileContent(path)) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	exchange(t, s, basic(get(""), "bob", "bobspw"))
	if got := lines(); len(got) != 1 || got[0].Account != "bob" {
		t.Errorf("new file: %+v", got)
	}
	if got := readAudit(t, path+".1"); len(got) != 1 || got[0].Account != "alice" {
		t.Errorf("old file: %+v", got)
	}
}

func fileContent(path string) []byte {
	b, _ := os.ReadFile(path)
	return b
}

// A log that cannot be written is not silent: the server says that it is not
// ready, and goes on answering.
func TestAuditBroken(t *testing.T) {
	s, _, _ := auditedServer(t)
	dir := filepath.Dir(*s.audit.path.Load())
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if w, _ := exchange(t, s, basic(get(""), "alice", "secret")); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	for !s.audit.broken.Load() {
		time.Sleep(time.Millisecond)
	}
	w := httptest.NewRecorder()
	s.MonitorHandler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "audit") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMonitor(t *testing.T) {
	s, _, _ := auditedServer(t)
	exchange(t, s, basic(get(""), "alice", "secret"))
	exchange(t, s, basic(get(""), "alice", "wrong"))
	for _, row := range []struct{ path, want string }{
		{"/healthz", "ok\n"},
		{"/readyz", "ok\n"},
		{"/metrics", `regctl_auth_requests_total{outcome="refused"} 1`},
		{"/metrics", "regctl_auth_request_seconds_count 2"},
		{"/metrics", "regctl_auth_hash_seconds_count 2"},
	} {
		w := httptest.NewRecorder()
		s.MonitorHandler().ServeHTTP(w, httptest.NewRequest("GET", row.path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), row.want) {
			t.Errorf("%s has no %q: %d %s", row.path, row.want, w.Code, w.Body)
		}
	}
	if problems, err := testutil.GatherAndLint(s.metrics.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 404 {
		t.Errorf("the public listener shows metrics: %d", w.Code)
	}
}
