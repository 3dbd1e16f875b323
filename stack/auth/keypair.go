package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// KeyPair is a certificate and its private key. Only the first certificate of
// a file counts for signing, as in docker_auth.
type KeyPair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// TLS is the whole chain, for listeners that serve with this pair.
	TLS tls.Certificate
}

// maxKeySize bounds a certificate or key file; a chain of five certificates
// takes some 10 KiB.
const maxKeySize = 1 << 20

// LoadKeyPair reads two PEM files of at most 1 MiB. It refuses a key that does not belong to the
// certificate, and keys that tokens cannot be signed with (RSA and EC P-256,
// P-384, P-521 can).
func LoadKeyPair(certFile, keyFile string) (*KeyPair, error) {
	cert, err := readFile(certFile, maxKeySize)
	if err != nil {
		return nil, err
	}
	privateKey, err := readFile(keyFile, maxKeySize)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, privateKey)
	if err != nil {
		return nil, err
	}
	switch pub := pair.Leaf.PublicKey.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return nil, fmt.Errorf("unsupported elliptic curve %s", pub.Curve.Params().Name)
		}
	default:
		return nil, fmt.Errorf("public key type %T is not supported", pub)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key type %T cannot sign", pair.PrivateKey)
	}
	return &KeyPair{Cert: pair.Leaf, Key: key, TLS: pair}, nil
}
