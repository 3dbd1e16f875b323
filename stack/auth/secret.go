package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A secret of ours reads PREFIX ID "_" SECRET: 16 hexadecimal digits that may
// be shown, and 32 random bytes in base64url that may not.
const (
	idDigits     = 16
	secretDigits = 43
)

// newSecret makes a secret. Text is for its owner, once; id and hash are kept.
func newSecret(prefix string) (id, text string, hash []byte) {
	var raw [idDigits/2 + 32]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	id = hex.EncodeToString(raw[:idDigits/2])
	secret := raw[idDigits/2:]
	return id, prefix + id + "_" + b64.EncodeToString(secret), hashSecret(secret)
}

// parseSecret splits what newSecret made. It is not ok if text is no such
// secret.
func parseSecret(prefix, text string) (id string, hash []byte, ok bool) {
	rest, found := strings.CutPrefix(text, prefix)
	if !found || len(rest) != idDigits+1+secretDigits || rest[idDigits] != '_' {
		return "", nil, false
	}
	secret, err := b64.DecodeString(rest[idDigits+1:])
	if err != nil {
		return "", nil, false
	}
	return rest[:idDigits], hashSecret(secret), true
}

// hashSecret is fast on purpose: there is nothing to guess in 32 random bytes.
func hashSecret(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}
