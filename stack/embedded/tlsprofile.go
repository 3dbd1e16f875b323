package embedded

import (
	"crypto/tls"
	"fmt"
)

// tlsProfile is a server's TLS configuration by name: Mozilla's guideline 6.0
// for intermediate and modern. Groups are left to crypto/tls, which prefers
// X25519MLKEM768 as the guideline does. crypto/tls has no DHE, so compatible
// adds, for clients of before about 2014, ECDHE with CBC instead; tls.profile
// compatible of nginx adds DHE-RSA.
func tlsProfile(name string) (*tls.Config, error) {
	intermediate := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	switch name {
	case "modern":
		return &tls.Config{MinVersion: tls.VersionTLS13}, nil
	case "intermediate":
		return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: intermediate}, nil
	case "compatible":
		return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: append(intermediate,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA)}, nil
	}
	return nil, fmt.Errorf("%q is none of intermediate, modern, compatible", name)
}
