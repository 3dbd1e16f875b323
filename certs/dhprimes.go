package certs

import (
	"iter"
	"math"
)

// primeRange is how many integers are sieved at a time: the flags of half as
// many fit into a processor's second-level cache.
const primeRange = 1 << 18

// primesUpTo lists the primes up to a small limit.
func primesUpTo(limit uint32) []uint64 {
	composite := make([]bool, limit+1)
	var primes []uint64
	for n := uint64(2); n <= uint64(limit); n++ {
		if composite[n] {
			continue
		}
		primes = append(primes, n)
		for m := n * n; m <= uint64(limit); m += n {
			composite[m] = true
		}
	}
	return primes
}

// primesIn is the odd primes from from (even) to below from+primeRange, and up
// to limit. small are the primes up to the root of limit or more; flags, of
// length primeRange/2, is working space.
func primesIn(flags []bool, from, limit uint64, small []uint64) iter.Seq[uint64] {
	clear(flags)
	end := min(from+primeRange, limit+1)
	for _, r := range small[1:] { // without 2
		if r*r >= end {
			break
		}
		n := max(r*r, (from+r-1)/r*r)
		if n%2 == 0 {
			n += r
		}
		for i := (n - from) / 2; i < uint64(len(flags)); i += r {
			flags[i] = true
		}
	}
	return func(yield func(uint64) bool) {
		for n := from + 1; n < end; n += 2 {
			if !flags[(n-from)/2] && n > 1 && !yield(n) {
				return
			}
		}
	}
}

func isqrt(n uint32) uint32 { return uint32(math.Sqrt(float64(n))) }
