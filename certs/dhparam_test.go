package certs

import (
	"encoding/pem"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"
)

// opensslAccepts runs openssl dhparam -check on a group.
func opensslAccepts(t *testing.T, group *DHParams) {
	t.Helper()
	cmd := exec.Command("openssl", "dhparam", "-check", "-noout")
	cmd.Stdin = strings.NewReader(string(group.Encode()))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "DH parameters appear to be ok") {
		t.Errorf("openssl dhparam -check: %v\n%s", err, out)
	}
}

func TestRFC7919(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{2048, 3072, 4096, 6144, 8192} {
		group, err := RFC7919(bits)
		if err != nil {
			t.Fatal(err)
		}
		// The DER of a named group is its name, so the numbers are asked for.
		key := exec.Command("openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", fmt.Sprintf("group:ffdhe%d", bits))
		named, err := key.Output()
		if err != nil {
			t.Fatal(err)
		}
		convert := exec.Command("openssl", "dhparam")
		convert.Stdin = strings.NewReader(string(named))
		out, err := convert.Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != string(group.Encode()) {
			t.Errorf("ffdhe%d is not OpenSSL's", bits)
		}
		if !group.WellKnown() || CheckDH(group) != nil || new(big.Int).Mod(group.P, big.NewInt(24)).Int64() != 23 {
			t.Errorf("ffdhe%d: well known %t, %v", bits, group.WellKnown(), CheckDH(group))
		}
		opensslAccepts(t, group)
	}
	if _, err := RFC7919(1024); err == nil || err.Error() != "RFC 7919 has no group of 1024 bits" {
		t.Error(err)
	}
}

func TestParseDHRefuses(t *testing.T) {
	t.Parallel()
	group, err := RFC7919(2048)
	if err != nil {
		t.Fatal(err)
	}
	text := string(group.Encode())
	block := func(blockType string, der ...byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
	}
	for want, text := range map[string]string{
		"holds no PEM block":                                       "",
		"1 of 1 PEM blocks are damaged or cut short":               text[:100],
		"holds 2 PEM blocks instead of one group":                  text + text,
		`holds a block "CERTIFICATE" instead of "DH PARAMETERS"`:   block("CERTIFICATE"),
		"was made with openssl dhparam -dsaparam, whose prime":     block("X9.42 DH PARAMETERS"),
		"parsing the group: asn1: ":                                block(dhBlock),
		"parsing the group: 1 bytes after its end":                 block(dhBlock, 0x30, 6, 2, 1, 23, 2, 1, 2, 0),
		"parsing the group: its numbers must be positive":          block(dhBlock, 0x30, 6, 2, 1, 0x80, 2, 1, 2),
		"parsing the group: asn1: structure error: integer not mi": block(dhBlock, 0x30, 7, 2, 2, 0, 23, 2, 1, 2),
	} {
		if _, err := ParseDH([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// The optional third number is a hint for private values.
	hinted := block(dhBlock, 0x30, 9, 2, 1, 23, 2, 1, 2, 2, 1, 4)
	if got, err := ParseDH([]byte(hinted)); err != nil || got.P.Int64() != 23 || got.G.Int64() != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCheckDH(t *testing.T) {
	t.Parallel()
	known, err := RFC7919(2048)
	if err != nil {
		t.Fatal(err)
	}
	two, last := big.NewInt(2), new(big.Int).Sub(known.P, big.NewInt(1))
	power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	mersenne := new(big.Int).Sub(power(2203), big.NewInt(1)) // a prime: https://oeis.org/A000043
	for name, c := range map[string]struct {
		p, g *big.Int
		want string
	}{
		"another generator": {known.P, big.NewInt(5), ""},
		"small":             {power(2046), two, "the group has 2047 bits; clients and OpenSSL refuse less than 2048"},
		"large":             {power(8192), two, "the group has 8193 bits, more than 8192"},
		"even":              {power(2047), two, "p is not prime"},
		"composite":         {new(big.Int).Add(known.P, big.NewInt(24)), two, "p is not prime"},
		"not safe":          {mersenne, two, "p is not a safe prime: (p-1)/2 is not prime"},
		"generator 1":       {known.P, big.NewInt(1), "the generator is not between 1 and p-1"},
		"generator -1":      {known.P, last, "the generator is not between 1 and p-1"},
	} {
		got := ""
		if err := CheckDH(&DHParams{c.p, c.g}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestParseDHMode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]DHMode{
		"rfc7919":     {},
		"own":         {Own: true},
		"own:2048":    {Own: true, Bits: 2048},
		"own:3072":    {Own: true, Bits: 3072},
		"own:4096":    {Own: true, Bits: 4096},
		"/etc/dh.pem": {File: "/etc/dh.pem"},
	} {
		if got, err := ParseDHMode(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":          `"": want rfc7919, own, own:BITS or the absolute path of a file`,
		"dh.pem":    `"dh.pem": want rfc7919, own, own:BITS or the absolute path of a file`,
		"own:1024":  `"own:1024": want own:2048, own:3072 or own:4096`,
		"own:":      `"own:": want own:2048, own:3072 or own:4096`,
		"own:4096 ": `"own:4096 ": want own:2048, own:3072 or own:4096`,
		"/a/../b":   `path "/a/../b": must be absolute, without . or .. in it`,
	} {
		if _, err := ParseDHMode(text); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzParseDH(f *testing.F) {
	group, err := RFC7919(2048)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(group.Encode())
	f.Add(pem.EncodeToMemory(&pem.Block{Type: dhBlock, Bytes: []byte{0x30, 9, 2, 1, 23, 2, 1, 2, 2, 1, 4}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		group, err := ParseDH(text)
		if err != nil {
			return
		}
		again, err := ParseDH(group.Encode())
		if err != nil || again.P.Cmp(group.P) != 0 || again.G.Cmp(group.G) != 0 {
			t.Errorf("encoded and parsed again: %v, %v", again, err)
		}
	})
}
