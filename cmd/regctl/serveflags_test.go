package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// oauth posts a form to the token endpoint, as Docker does since it keeps images
// in containerd.
func (s *served) oauth(form url.Values) (status int, answer struct {
	Token   string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}) {
	s.t.Helper()
	at := s.at()
	form.Set("service", at.Service)
	resp, err := http.PostForm(at.URL+"/token", form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			s.t.Fatal(err)
		}
	}
	return resp.StatusCode, answer
}

func TestServeRefreshTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, "--refresh-tokens")
	login := url.Values{"grant_type": {"password"}, "access_type": {"offline"}, "username": {"admin"}, "password": {s.firstPassword()}}
	_, first := s.oauth(login)
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}
	if status, again := s.oauth(refresh); status != 200 || again.Token == "" || again.Refresh != first.Refresh {
		t.Errorf("refresh: %d, %+v", status, again)
	}
	s.stop()

	s = serve(t, dir)
	if status, answer := s.oauth(login); status != 200 || answer.Refresh != "" {
		t.Errorf("without the flag: %d, %+v", status, answer)
	}
	if status, _ := s.oauth(refresh); status != 401 {
		t.Errorf("an old refresh token without the flag: %d", status)
	}
}

func TestServeMetrics(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--metrics", "127.0.0.1:0")
	s.login("admin", s.firstPassword())
	url := regexp.MustCompile(`(?m)^metrics at (http://\S+)/metrics$`).FindStringSubmatch(s.stderr.String())
	if url == nil {
		t.Fatalf("no address in %s", &s.stderr)
	}
	for path, want := range map[string]string{"/metrics": `regctl_auth_requests_total{outcome="granted"} 1`, "/healthz": "ok", "/readyz": "ok"} {
		resp, err := http.Get(url[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v: %s", path, resp.Status, err, body)
		}
	}
}
