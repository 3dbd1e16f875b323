package templates_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"os/exec"
	"strings"
	"testing"
)

// The certificate is for an RSA key here: with others there is no DHE.
func TestNginxTLSProfiles(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on this machine, and Go has no DHE")
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	eachNginx(t, func(t *testing.T, version, program string) {
		for profile, wants := range map[string]map[string]string{
			// What a client offers, and what is in what it says then; "" is no
			// connection.
			"modern": {
				"-tls1_3": "New, TLSv1.3",
				"-tls1_2": "",
			},
			"intermediate": {
				"-tls1_3": "New, TLSv1.3",
				"-tls1_2": "Cipher is ECDHE-RSA",
				"-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256": "",
				"-tls1_2 -cipher ECDHE-RSA-AES128-SHA256":   "",
				"-tls1_1 -cipher ALL@SECLEVEL=0":            "",
			},
			"compatible": {
				"-tls1_3": "New, TLSv1.3",
				"-tls1_2": "Cipher is ECDHE-RSA",
				"-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256": "Temp Key: DH, 2048 bits",
				"-tls1_2 -cipher DHE-RSA-AES128-SHA256":     "",
				"-tls1_1 -cipher ALL@SECLEVEL=0":            "",
			},
		} {
			d := minimal()
			d.TLSProfile = profile
			r := serveWith(t, d, version, program, key)
			for args, want := range wants {
				cmd := exec.Command(openssl, append([]string{"s_client", "-connect", r.addr(r.HTTPSPort), "-servername", r.Host}, strings.Fields(args)...)...)
				cmd.Stdin = strings.NewReader("")
				said, err := cmd.CombinedOutput()
				if connected := err == nil; connected != (want != "") || !strings.Contains(string(said), want) {
					t.Errorf("%s: s_client %s: %v\n%s", profile, args, err, said)
				}
			}
		}
		// What clients of today make of it.
		r := serve(t, minimal(), version, program)
		conn, err := tls.Dial("tcp", r.addr(r.HTTPSPort), &tls.Config{ServerName: r.Host, RootCAs: r.ca.pool(), NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if s := conn.ConnectionState(); s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
			t.Errorf("%s %q", tls.VersionName(s.Version), s.NegotiatedProtocol)
		}
	})
}
