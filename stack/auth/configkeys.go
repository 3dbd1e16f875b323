package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strconv"
)

// loadKeys reads the certificates and keys, in docker_auth's order and words,
// and with them makes the TLS settings.
func (c *checker) loadKeys(f *configYAML) error {
	server, err := c.pair("server", f.Server.v.Certificate, f.Server.v.Key)
	if err != nil {
		return err
	}
	if err := c.signing(&f.Token.v, server); err != nil {
		return err
	}
	if f.Server.v.LetsEncrypt.v.Email != "" {
		place := at("server", "letsencrypt")
		if server == nil {
			return c.errorf(place, "server.letsencrypt is not supported yet: put the certificate in server.certificate and server.key, or serve behind regctl's edge")
		}
		c.warnf(place, "server.letsencrypt is ignored: server.certificate is used")
	}
	settings, err := c.tlsSettings(&f.Server.v)
	if err != nil {
		return err
	}
	if server != nil {
		settings.Certificates = []tls.Certificate{server.TLS}
		c.cfg.Server.TLS = settings
	}
	return nil
}

// signing finds what signs tokens: the CA, the pair of the token section, or
// else, as in docker_auth, that of the server.
func (c *checker) signing(t *tokenYAML, server *KeyPair) (err error) {
	if t.SigningCA != nil {
		c.cfg.Token.SigningCA, err = c.signingCA(&t.SigningCA.v)
		return err
	}
	if c.cfg.Token.Pair, err = c.pair("token", t.Certificate, t.Key); c.cfg.Token.Pair != nil || err != nil {
		return err
	}
	if server == nil {
		return c.errorf(at("token"), "failed to load token cert and key: none provided")
	}
	c.warnf(at("token"), "tokens are signed with server.certificate: when it is renewed, registries must be given the new one (see token.certificate and token.signing_ca)")
	c.cfg.Token.Pair = server
	return nil
}

// pair loads the pair of the server or token section, nil if it has none.
func (c *checker) pair(section, certificate, key string) (*KeyPair, error) {
	switch {
	case certificate == "" && key == "":
		return nil, nil
	case certificate == "":
		return nil, c.errorf(at(section, "key"), "failed to load %s cert and key: both were not provided", section)
	case key == "":
		return nil, c.errorf(at(section, "certificate"), "failed to load %s cert and key: both were not provided", section)
	}
	pair, err := LoadKeyPair(certificate, key)
	if err != nil {
		return nil, c.errorf(at(section, "certificate"), "failed to load %s cert and key: %w", section, err)
	}
	c.read(certificate, key)
	return pair, nil
}

func (c *checker) signingCA(k *keyYAML) (*KeyPair, error) {
	pair, err := LoadKeyPair(k.Certificate, k.Key)
	if err == nil && !(pair.Cert.IsCA && (pair.Cert.KeyUsage == 0 || pair.Cert.KeyUsage&x509.KeyUsageCertSign != 0)) {
		err = errors.New("the certificate is not that of a CA, so registries would not accept what it signs")
	}
	if err != nil {
		place := at("token", "signing_ca", "certificate")
		return nil, c.errorf(place, "token.signing_ca: failed to load cert and key: %w", err)
	}
	c.read(k.Certificate, k.Key)
	return pair, nil
}

// read notes files that the configuration was read from.
func (c *checker) read(files ...string) {
	for _, f := range files {
		if !slices.Contains(c.cfg.Files, f) {
			c.cfg.Files = append(c.cfg.Files, f)
		}
	}
}

// tlsSettings reads the tls_ keys, also when there is no certificate, so that
// a mistake in them does not wait for one.
func (c *checker) tlsSettings(s *serverYAML) (*tls.Config, error) {
	settings := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	var err error
	if s.TLSMinVersion != "" {
		versions := map[string]uint16{
			"SSL30": 0x0300, "TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11,
			"TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13,
		}
		place := at("server", "tls_min_version")
		if settings.MinVersion, err = c.number(place, s.TLSMinVersion, versions); err != nil {
			return nil, err
		}
		if settings.MinVersion > tls.VersionTLS13 {
			return nil, c.errorf(place, "%s: no TLS version is %s or newer", place, s.TLSMinVersion)
		}
	}
	curves := map[string]uint16{
		"P256": uint16(tls.CurveP256), "P384": uint16(tls.CurveP384),
		"P521": uint16(tls.CurveP521), "X25519": uint16(tls.X25519),
	}
	for i, text := range s.TLSCurvePreferences {
		id, err := c.number(at("server", "tls_curve_preferences", i), text, curves)
		if err != nil {
			return nil, err
		}
		settings.CurvePreferences = append(settings.CurvePreferences, tls.CurveID(id))
	}
	suites := cipherSuites()
	for i, text := range s.TLSCipherSuites {
		id, err := c.number(at("server", "tls_cipher_suites", i), text, suites)
		if err != nil {
			return nil, err
		}
		settings.CipherSuites = append(settings.CipherSuites, id)
	}
	if s.TLSCipherSuites != nil && !http2Suites(settings.CipherSuites) {
		settings.NextProtos = []string{"http/1.1"}
	}
	return settings, nil
}

// number returns the value of a name, or of 16 bits written as in Go.
func (c *checker) number(place keyPath, text string, names map[string]uint16) (uint16, error) {
	if n, ok := names[text]; ok {
		return n, nil
	}
	n, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		return 0, c.errorf(place, "server.%s: Failed to convert %s to uint16", place[1], text)
	}
	return uint16(n), nil
}

// cipherSuites are all that crypto/tls has names for. Two of its constants have
// a second, shorter name, and TLS_FALLBACK_SCSV (RFC 7507) is none that a server
// can choose.
func cipherSuites() map[string]uint16 {
	suites := map[string]uint16{
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		"TLS_FALLBACK_SCSV":                      tls.TLS_FALLBACK_SCSV,
	}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		suites[s.Name] = s.ID
	}
	return suites
}

// http2Suites reports whether the suites have one that HTTP/2 clients may count
// on (RFC 9113, 9.2.2). Without it a connection could end up with one that
// HTTP/2 forbids, so HTTP/1.1 it is.
func http2Suites(suites []uint16) bool {
	return slices.Contains(suites, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) ||
		slices.Contains(suites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
}
