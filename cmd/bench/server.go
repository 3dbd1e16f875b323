package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

const manyUsers, manyRules = 10_000, 10_000

func user(i int) store.User {
	return store.User{Name: fmt.Sprintf("user%d", i), Labels: map[string][]string{
		"full-access": {fmt.Sprintf("team%d/*", i), "shared"}, "read-only-access": {"prod/*"}}}
}

// measureDecisions asks one question to access lists of growing length.
func measureDecisions(_, _ string) ([]row, error) {
	few, err := decision(10)
	if err != nil {
		return nil, err
	}
	many, err := decision(manyRules)
	if err != nil {
		return nil, err
	}
	return []row{
		{"one decision among 10,000 rules and 10,000 users", "≤ 2 µs", fmt.Sprintf("**%.2f µs**", many*1e6)},
		{"the same against one among 10 rules", "flat", fmt.Sprintf("**%.2f ×**", many/few)},
	}, nil
}

// decision returns the seconds that one decision takes among n rules, of which
// the last decides.
func decision(n int) (float64, error) {
	var rules []store.Rule
	for i := range n - 1 {
		name := fmt.Sprintf("group%d/*", i)
		rules = append(rules, store.Rule{Seq: int64(i), Match: store.Match{Name: &name}, Actions: []string{"pull"}})
	}
	own := "${labels:full-access}"
	acl, err := auth.CompileACL(append(rules, store.Rule{Seq: int64(n), Match: store.Match{Name: &own}, Actions: []string{"*"}}))
	if err != nil {
		return 0, err
	}
	labels := make([]map[string][]string, manyUsers)
	for i := range labels {
		labels[i] = user(i).Labels
	}
	now := time.Now()
	wrong := 0
	result := testing.Benchmark(func(b *testing.B) {
		queries := make([]auth.Query, manyUsers)
		for i := range queries {
			queries[i] = auth.Query{Account: fmt.Sprintf("user%d", i), Type: "repository", Name: fmt.Sprintf("team%d/app", i),
				Labels: labels[i], Actions: []string{"pull", "push"}}
		}
		b.ResetTimer()
		for i := range b.N {
			if d := acl.Decide(&queries[i%manyUsers], now); len(d.Actions) != 2 {
				wrong++
			}
		}
	})
	if wrong > 0 {
		return 0, fmt.Errorf("%d wrong decisions among %d rules", wrong, n)
	}
	return result.T.Seconds() / float64(result.N), nil
}

// measureMemory looks at the auth server after requests by 10,000 stored users.
func measureMemory(regctl, dir string) ([]row, error) {
	path := filepath.Join(dir, "users.db")
	if err := fillStore(path); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "stored.yml")
	text := fmt.Sprintf("server: {addr: %q}\ntoken: {issuer: bench, expiration: 900, certificate: %[2]s/domain.crt, key: %[2]s/domain.key}\n"+
		"store: {path: %[3]s}\naudit: {file: %[2]s/audit2.log}\n", addr, dir, path)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd, _, stop, err := start(regctl, "auth", "serve", config)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := waitFor("http://" + addr + "/"); err != nil {
		return nil, err
	}
	asUser := func(r *http.Request, n int) { r.SetBasicAuth(fmt.Sprintf("user%d", n%manyUsers), "password") }
	if _, err := load("http://"+addr+"/auth?"+scope, asUser, clients, 15*time.Second); err != nil {
		return nil, err
	}
	mb, err := residentMB(cmd.Process.Pid)
	return []row{{"memory of the auth server at 10,000 users, after load", "< 60 MB", fmt.Sprintf("**%.0f MB**", mb)}}, err
}

func fillStore(path string) error {
	st, err := store.OpenSQLite(path)
	if err != nil {
		return err
	}
	defer st.Close()
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	if err != nil {
		return err
	}
	var change store.Change
	for i := range manyUsers {
		u := user(i)
		u.PasswordHash = string(hash)
		change.PutUsers = append(change.PutUsers, u)
	}
	own := "${labels:full-access}"
	change.PutRules = []store.Rule{{Seq: 10, Match: store.Match{Name: &own}, Actions: []string{"*"}}}
	return st.Write(context.Background(), change)
}

// measureReady times regctl serve from its start to its line "ready", in a new
// directory and in one it has used before.
func measureReady(regctl, dir string) ([]row, error) {
	var rows []row
	for _, name := range []string{"first run", "second run"} {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		_, out, stop, err := start(regctl, "serve", "--dir", filepath.Join(dir, "serve"), "--listen", addr)
		if err != nil {
			return nil, err
		}
		var word, url string
		_, err = fmt.Fscanln(out, &word, &url)
		took := time.Since(began)
		stop()
		if err != nil || !strings.HasPrefix(word, "ready") {
			return nil, fmt.Errorf("regctl serve: no ready line: %w", err)
		}
		rows = append(rows, row{"`regctl serve` ready, " + name, "< 1 s", fmt.Sprintf("**%.2f s**", took.Seconds())})
	}
	return rows, nil
}
