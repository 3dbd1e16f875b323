package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 for the larger curves
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// algorithm is a JWS signature algorithm (RFC 7518 section 3).
type algorithm struct {
	name string
	hash crypto.Hash
	size int // octets of each of R and S; 0 for RSA
}

func algorithmOf(pub crypto.PublicKey) (algorithm, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return algorithm{"RS256", crypto.SHA256, 0}, nil
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return algorithm{"ES256", crypto.SHA256, 32}, nil
		case elliptic.P384():
			return algorithm{"ES384", crypto.SHA384, 48}, nil
		case elliptic.P521():
			return algorithm{"ES512", crypto.SHA512, 66}, nil
		}
	}
	return algorithm{}, fmt.Errorf("no signature algorithm for a key of type %T", pub)
}

var b64 = base64.RawURLEncoding

// header returns the encoded JOSE header, which is the same for every token.
func header(alg algorithm, kid string, cert *x509.Certificate) string {
	h := struct {
		Type string   `json:"typ"`
		Alg  string   `json:"alg"`
		KID  string   `json:"kid"`
		X5C  [][]byte `json:"x5c,omitempty"` // standard base64, as RFC 7515 4.1.6 asks
	}{Type: "JWT", Alg: alg.name, KID: kid}
	if cert != nil {
		h.X5C = [][]byte{cert.Raw}
	}
	text, _ := json.Marshal(h) // strings and bytes only: cannot fail
	return b64.EncodeToString(text)
}

func signJWS(head string, alg algorithm, key crypto.Signer, c *claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	token := make([]byte, 0, len(head)+b64.EncodedLen(len(payload))+b64.EncodedLen(2*alg.size)+2)
	token = append(token, head...)
	token = append(token, '.')
	token = b64.AppendEncode(token, payload)
	hash := alg.hash.New()
	hash.Write(token)
	digest := hash.Sum(nil)
	sig, err := signDigest(alg, key, digest)
	if err != nil {
		return "", err
	}
	token = append(token, '.')
	return string(b64.AppendEncode(token, sig)), nil
}

// signDigest signs with PKCS #1 v1.5 for RSA. For EC the result is R‖S of fixed
// length, not the usual ASN.1 (RFC 7518 section 3.4).
func signDigest(alg algorithm, key crypto.Signer, digest []byte) ([]byte, error) {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Sign(rand.Reader, digest, alg.hash)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, digest)
	if err != nil {
		return nil, err
	}
	sig := make([]byte, 2*alg.size)
	r.FillBytes(sig[:alg.size])
	s.FillBytes(sig[alg.size:])
	return sig, nil
}

// legacyKeyID is libtrust's: registry 2.x looks keys up by it. The first 30
// bytes of the SHA-256 of the public key's DER, in base32, as 12 groups of 4.
func legacyKeyID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	text := base32.StdEncoding.EncodeToString(sum[:30])
	var groups []string
	for ; len(text) > 0; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, ":")
}

// thumbprint is the key id that registry 3.1 looks keys up by: RFC 7638, except
// that it writes EC coordinates without their leading zero octets (1 key in 128
// has one), so we do too.
func thumbprint(pub crypto.PublicKey) string {
	num := func(octets []byte) string { return b64.EncodeToString(bytes.TrimLeft(octets, "\x00")) }
	var jwk string
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		jwk = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, num(big.NewInt(int64(pub.E)).Bytes()), num(pub.N.Bytes()))
	case *ecdsa.PublicKey:
		point, _ := pub.Bytes() // 4, X, Y (SEC 1, section 2.3.3); the curve is one of NIST's
		size := len(point) / 2
		jwk = fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, pub.Curve.Params().Name, num(point[1:1+size]), num(point[1+size:]))
	}
	sum := sha256.Sum256([]byte(jwk))
	return b64.EncodeToString(sum[:])
}
