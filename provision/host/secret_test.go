package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"regctl/provision/host"

	"go.yaml.in/yaml/v3"
)

func TestSecretPrintsStars(t *testing.T) {
	t.Parallel()
	const text = "hunter2"
	s := host.NewSecret(text)
	type holder struct {
		Public host.Secret
		hidden host.Secret
		Many   []host.Secret
		Map    map[string]*host.Secret
	}
	h := holder{s, s, []host.Secret{s}, map[string]*host.Secret{"k": &s}}
	c := host.Cmd{Argv: []string{"login"}, Stdin: s, SecretEnv: map[string]host.Secret{"P": s}}

	var printed []string
	for _, v := range []any{s, &s, h, &h, c, &c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		printed = append(printed, fmt.Sprint(v), marshal(t, json.Marshal, v), marshal(t, yaml.Marshal, v))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		printed = append(printed, log.String())
	}
	for _, p := range printed {
		if strings.Contains(p, text) || strings.Contains(strings.ToLower(p), fmt.Sprintf("%x", text)) {
			t.Errorf("printed: %s", p)
		}
	}
	for _, verb := range []string{"%v", "%s", "%q", "%#v", "%x"} {
		if got := fmt.Sprintf(verb, s); got != "***" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if got := marshal(t, json.Marshal, s); got != `"***"` {
		t.Errorf("JSON is %s", got)
	}
	if s.Reveal() != text || s.String() != "***" || (host.Secret{}).Reveal() != "" {
		t.Errorf("Reveal %q, String %q, zero %q", s.Reveal(), s.String(), host.Secret{}.Reveal())
	}
	_ = h.hidden
}

func marshal(t *testing.T, encode func(any) ([]byte, error), v any) string {
	t.Helper()
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCmdString(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]host.Cmd{
		`ufw allow 443/tcp`:                  host.Command("ufw", "allow", "443/tcp"),
		`A=1 B="x y" P=*** p "" "a b" < ***`: {Argv: []string{"p", "", "a b"}, Env: map[string]string{"B": "x y", "A": "1"}, SecretEnv: map[string]host.Secret{"P": host.NewSecret("x")}, Stdin: host.NewSecret("y")},
		`p "a\nb" "\x1b[2J" "it's" "a\"b" ä`: host.Command("p", "a\nb", "\x1b[2J", "it's", `a"b`, "ä"),
	} {
		if got := c.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
