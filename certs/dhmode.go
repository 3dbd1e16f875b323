package certs

import (
	"fmt"
	"strconv"
	"strings"

	"regctl/provision/host"
)

// defaultDHBits is the size of a group when none is named.
const defaultDHBits = 4096

// DHMode says where the Diffie-Hellman group comes from; see [ParseDHMode].
type DHMode struct {
	File string // the operator's file; "" for none
	Own  bool   // a group of the host's own, after RFC 7919's for the start
	Bits int    // the size that is asked for; 0 if any will do
}

// ParseDHMode reads the setting tls.dhparams:
//
//	rfc7919   the well-known group ffdhe4096
//	own       a group that only this host has, of any size; 4096 bits if it is to be made
//	own:BITS  the same, of exactly 2048, 3072 or 4096 bits
//	/PATH     the group in this PEM file
func ParseDHMode(text string) (DHMode, error) {
	size, sized := strings.CutPrefix(text, "own:")
	switch {
	case text == "rfc7919":
		return DHMode{}, nil
	case text == "own":
		return DHMode{Own: true}, nil
	case sized:
		bits, err := strconv.Atoi(size)
		if err != nil || CheckDHBits(bits) != nil {
			return DHMode{}, fmt.Errorf("%q: want own:2048, own:3072 or own:4096", text)
		}
		return DHMode{Own: true, Bits: bits}, nil
	case strings.HasPrefix(text, "/"):
		return DHMode{File: text}, host.ValidPath(text)
	}
	return DHMode{}, fmt.Errorf("%q: want rfc7919, own, own:BITS or the absolute path of a file", text)
}

// CheckDHBits refuses sizes for which no group is searched.
func CheckDHBits(bits int) error {
	switch bits {
	case 2048, 3072, 4096:
		return nil
	}
	return fmt.Errorf("%d bits: want 2048, 3072 or 4096", bits)
}

// Size is the number of bits a new group gets.
func (m DHMode) Size() int {
	if m.Bits == 0 {
		return defaultDHBits
	}
	return m.Bits
}
