package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The types of PEM blocks (RFC 7468) that we write.
const (
	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY"
)

// maxChain bounds the certificates in a file. Public chains have up to four.
const maxChain = 16

// pemBlocks splits a file into its blocks. One that is damaged or cut short is
// an error; [pem.Decode] would pass over it.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	switch begun := bytes.Count(text, []byte("-----BEGIN ")); {
	case begun == 0:
		return nil, errors.New("holds no PEM block (a line -----BEGIN …-----)")
	case begun != len(blocks):
		return nil, fmt.Errorf("%d of %d PEM blocks are damaged or cut short", begun-len(blocks), begun)
	}
	return blocks, nil
}

// harmless are blocks that may stand in a file of keys and certificates and
// mean nothing to us: openssl ecparam writes the first before the key, and
// proxies keep the second beside the chain.
func harmless(blockType string) bool {
	return slices.Contains([]string{"EC PARAMETERS", dhBlock}, blockType)
}

func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, keyBlock) }

// parseChain returns the certificates in a file, in their order. Keys beside
// them are left alone.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, b := range blocks {
		switch {
		case b.Type == certBlock:
			cert, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
			}
			chain = append(chain, cert)
		case !isKey(b) && !harmless(b.Type):
			return nil, fmt.Errorf("holds a block %q where a certificate is wanted", b.Type)
		}
	}
	switch {
	case len(chain) == 0:
		return nil, errors.New("holds no certificate")
	case len(chain) > maxChain:
		return nil, fmt.Errorf("holds %d certificates, more than any chain has (%d)", len(chain), maxChain)
	}
	return chain, nil
}

// parseKey returns the one private key in a file: PKCS #8, PKCS #1 or SEC 1.
// Certificates beside it are left alone.
func parseKey(text []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var keys []*pem.Block
	for _, b := range blocks {
		switch {
		case isKey(b):
			keys = append(keys, b)
		case b.Type != certBlock && !harmless(b.Type):
			return nil, fmt.Errorf("holds a block %q where a private key is wanted", b.Type)
		}
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("holds %d private keys instead of one", len(keys))
	}
	return decodeKey(keys[0])
}

func decodeKey(b *pem.Block) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the key is encrypted, and a server has nobody to ask for the passphrase: " +
			"decrypt it with openssl pkey -in KEY -out NEW")
	}
	var key any
	var err error
	switch b.Type {
	case keyBlock:
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("a key of type %q is none that TLS can use", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}
