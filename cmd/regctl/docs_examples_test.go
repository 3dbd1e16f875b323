package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth"
)

// TestDocsDockerAuth loads the example for users of docker_auth and asks it what
// its page says.
func TestDocsDockerAuth(t *testing.T) { // not in parallel: the file has paths relative to the working directory
	page := readText(t, filepath.Join(repository, "examples", "docker_auth", "README.md"))
	config, err := filepath.Abs(filepath.Join(repository, "examples", "docker_auth", "auth_config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	makeKey := regexp.MustCompile(`(?m)^\$ (openssl .*)$`).FindStringSubmatch(page)
	if makeKey == nil {
		t.Fatal("the page does not make the key")
	}
	if out, err := exec.Command("sh", "-c", makeKey[1]).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cfg, err := auth.LoadConfig(config, auth.LoadOptions{})
	if err != nil || len(cfg.Warnings) > 0 {
		t.Fatalf("%v, %+v", err, cfg)
	}
	passwords := map[string]string{"": ""}
	for _, m := range regexp.MustCompile(`(?m)^  "(\w+)":\n    password: "(.*)" # (.*)$`).FindAllStringSubmatch(readText(t, config), -1) {
		passwords[m[1]] = m[3]
		if err := bcrypt.CompareHashAndPassword([]byte(m[2]), []byte(m[3])); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	cfg.Audit.File = os.DevNull
	srv, err := auth.New(t.Context(), cfg, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	rows := regexp.MustCompile(`(?m)^\| (\w*) ?\| (\S+) \| (\S+) \|$`).FindAllStringSubmatch(page, -1)
	if len(rows) < 6 {
		t.Fatalf("the page asks %d questions", len(rows)-1)
	}
	for _, row := range rows[1:] {
		account, asks, gets := row[1], row[2], row[3]
		r := httptest.NewRequest(http.MethodGet, "/auth?service=s&scope="+url.QueryEscape(asks), nil)
		if account != "" {
			r.SetBasicAuth(account, passwords[account])
		}
		if got := grantedActions(t, srv, r); got != gets {
			t.Errorf("%s asks %s and gets %s, not %s", account, asks, got, gets)
		}
	}
}

// grantedActions returns the actions in the token that answers r.
func grantedActions(t *testing.T, srv *auth.Server, r *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	var answer struct{ Token string }
	var claims struct{ Access []struct{ Actions []string } }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if actions := claims.Access[0].Actions; len(actions) > 0 {
		return strings.Join(actions, ",")
	}
	return "nothing"
}
