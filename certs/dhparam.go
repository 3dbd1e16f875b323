package certs

import (
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// dhBlock is the type of PEM block in which nginx and OpenSSL want a group.
const dhBlock = "DH PARAMETERS"

// What [CheckDH] accepts as the size of p, in bits. OpenSSL refuses smaller
// groups at its security level 2, which is Debian's and Ubuntu's; larger ones
// cost a server more per handshake than anybody needs.
const (
	minDHBits = 2048
	maxDHBits = 8192
)

// primeRounds are the Miller-Rabin rounds that a prime must survive, beside the
// Baillie-PSW test that ProbablyPrime adds: a composite number passes with a
// probability below 4^-32, even if somebody made it to deceive.
const primeRounds = 32

// DHParams is a Diffie-Hellman group: the integers modulo the safe prime P, that
// is (P-1)/2 is prime too, with generator G.
type DHParams struct{ P, G *big.Int }

// pkcs3 is DHParameter of PKCS #3.
type pkcs3 struct {
	P, G   *big.Int
	Length int `asn1:"optional"` // of private values, in bits: a hint
}

// Encode is the group in PEM, as openssl dhparam writes it.
func (d *DHParams) Encode() []byte {
	der, err := asn1.Marshal(pkcs3{P: d.P, G: d.G})
	if err != nil {
		panic(err) // two integers
	}
	return pem.EncodeToMemory(&pem.Block{Type: dhBlock, Bytes: der})
}

// ParseDH reads a group in PEM. It does not judge it; see [CheckDH].
func ParseDH(text []byte) (*DHParams, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 {
		return nil, fmt.Errorf("holds %d PEM blocks instead of one group", len(blocks))
	}
	switch b := blocks[0]; b.Type {
	case dhBlock:
		return parsePKCS3(b.Bytes)
	case "X9.42 DH PARAMETERS":
		return nil, errors.New("was made with openssl dhparam -dsaparam, whose prime is not safe: leave -dsaparam out")
	default:
		return nil, fmt.Errorf("holds a block %q instead of %q", b.Type, dhBlock)
	}
}

func parsePKCS3(der []byte) (*DHParams, error) {
	var group pkcs3
	rest, err := asn1.Unmarshal(der, &group)
	switch {
	case err != nil:
		return nil, fmt.Errorf("parsing the group: %w", err)
	case len(rest) > 0:
		return nil, fmt.Errorf("parsing the group: %d bytes after its end", len(rest))
	case group.P.Sign() <= 0 || group.G.Sign() <= 0:
		return nil, errors.New("parsing the group: its numbers must be positive")
	}
	return &DHParams{P: group.P, G: group.G}, nil
}

// CheckDH says why a server should not use the group: a size outside 2048 to
// 8192 bits, a prime that is not safe or no prime, or a useless generator. It
// takes seconds for large groups, and no time for those of RFC 7919.
func CheckDH(d *DHParams) error {
	switch n := d.P.BitLen(); {
	case n < minDHBits:
		return fmt.Errorf("the group has %d bits; clients and OpenSSL refuse less than %d", n, minDHBits)
	case n > maxDHBits:
		return fmt.Errorf("the group has %d bits, more than %d", n, maxDHBits)
	case d.WellKnown():
		return nil
	}
	return d.checkSafe()
}

// checkSafe makes the checks that do not depend on the size, the same as
// openssl dhparam -check.
func (d *DHParams) checkSafe() error {
	last := new(big.Int).Sub(d.P, big.NewInt(1))
	if one := big.NewInt(1); d.G.Cmp(one) <= 0 || d.G.Cmp(last) >= 0 {
		return errors.New("the generator is not between 1 and p-1")
	}
	q := new(big.Int).Rsh(last, 1)
	switch {
	case d.P.Bit(0) == 0 || !d.P.ProbablyPrime(primeRounds):
		return errors.New("p is not prime")
	case !q.ProbablyPrime(primeRounds):
		return errors.New("p is not a safe prime: (p-1)/2 is not prime")
	}
	return nil
}

// WellKnown reports whether this is a group of RFC 7919, which the whole world
// shares.
func (d *DHParams) WellKnown() bool {
	known, err := RFC7919(d.P.BitLen())
	return err == nil && known.P.Cmp(d.P) == 0 && known.G.Cmp(d.G) == 0
}
