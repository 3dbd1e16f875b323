package certs

import (
	"fmt"
	"math/big"
)

// RFC7919 is the group ffdheN of RFC 7919, appendix A, for N of 2048, 3072,
// 4096, 6144 or 8192 bits. It is computed from the formula there,
//
//	p = 2^b - 2^(b-64) + (⌊2^(b-130)·e⌋ + X)·2^64 - 1, g = 2
//
// with the base e of the natural logarithm, so that anybody can see that
// nobody chose it, and no digit of it can be mistyped.
func RFC7919(bits int) (*DHParams, error) {
	x, ok := map[int]int64{2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}[bits]
	if !ok {
		return nil, fmt.Errorf("RFC 7919 has no group of %d bits", bits)
	}
	b := uint(bits)
	power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	p := euler(b - 130)
	p.Add(p, big.NewInt(x))
	p.Lsh(p, 64)
	p.Sub(p, power(b-64))
	p.Add(p, power(b))
	p.Sub(p, big.NewInt(1))
	return &DHParams{P: p, G: big.NewInt(2)}, nil
}

// euler is ⌊2^n·e⌋, from the series of 1/k!. Each of its terms, at most a
// thousand or so, is rounded down; the guard bits take that up.
func euler(n uint) *big.Int {
	const guard = 64
	sum := new(big.Int)
	term := new(big.Int).Lsh(big.NewInt(1), n+guard)
	for k := int64(1); term.Sign() > 0; k++ {
		sum.Add(sum, term)
		term.Quo(term, big.NewInt(k))
	}
	return sum.Rsh(sum, guard)
}
