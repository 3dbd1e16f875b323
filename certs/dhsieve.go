package certs

import (
	"context"
	"encoding/binary"
	"math/big"
	"math/bits"
	"sync"
	"sync/atomic"
)

// step12 is the distance of two candidates for q = (p-1)/2. With q ≡ 11 mod 12
// neither q nor p = 2q+1 is divisible by 2 or 3, and p ≡ 23 mod 24, so that 2
// is a square modulo p and generates the subgroup of order q.
const step12 = 12

// window is a run of candidates q = base + 12·j, for j below size, without
// those where q or p has a small prime factor.
type window struct {
	size   uint64
	struck []uint64 // a bit for each candidate, set if it is out
}

func newWindow(size uint64) window { return window{size, make([]uint64, (size+63)/64)} }

func (w window) strike(j uint64) { w.struck[j/64] |= 1 << (j % 64) }

// next is the first candidate from j on that is left; size if there is none.
func (w window) next(j uint64) uint64 {
	for j < w.size {
		left := ^w.struck[j/64] >> (j % 64)
		if left != 0 {
			return min(j+uint64(bits.TrailingZeros64(left)), w.size)
		}
		j = (j/64 + 1) * 64
	}
	return w.size
}

// sieve makes the window at base, and strikes out what primes from 5 up to
// depth divide. Each worker takes ranges of primes and strikes in a window of
// its own, which takes size/8 bytes.
func sieve(ctx context.Context, base *big.Int, size uint64, depth uint32, workers int) (window, error) {
	words := wordsOf(base)
	small := primesUpTo(isqrt(depth) + 1)
	windows := make([]window, workers)
	var wg sync.WaitGroup
	var ranges atomic.Uint64
	for i := range windows {
		wg.Go(func() {
			windows[i] = newWindow(size)
			flags := make([]bool, primeRange/2)
			for ctx.Err() == nil {
				from := (ranges.Add(1) - 1) * primeRange
				if from > uint64(depth) {
					return
				}
				windows[i].strikeRange(words, primesIn(flags, from, uint64(depth), small))
			}
		})
	}
	wg.Wait()
	for _, w := range windows[1:] {
		for i, struck := range w.struck {
			windows[0].struck[i] |= struck
		}
	}
	return windows[0], ctx.Err()
}

// strikeRange strikes out what primes divide. Dividing the large base is what
// costs; one division by the product of two primes does for both.
func (w window) strikeRange(base []uint64, primes func(yield func(uint64) bool)) {
	var first uint64
	for r := range primes {
		switch {
		case r < 5:
		case first == 0:
			first = r
		default:
			both := mod(base, first*r)
			w.strikePrime(first, both%first)
			w.strikePrime(r, both%r)
			first = 0
		}
	}
	if first != 0 {
		w.strikePrime(first, mod(base, first))
	}
}

// strikePrime strikes out the candidates where r divides q or 2q+1; rest is
// base mod r. Those are the j ≡ -base/12 and j ≡ (-1/2 - base)/12 mod r.
func (w window) strikePrime(r, rest uint64) {
	// r·r ≡ 1 mod 12 for every prime from 5 on, so 12 divides 1 + r·(12 - r mod 12).
	inverse := (1 + r*(step12-r%step12)) / step12
	for _, target := range [2]uint64{0, (r - 1) / 2} {
		for j := (target + r - rest) % r * inverse % r; j < w.size; j += r {
			w.strike(j)
		}
	}
}

// wordsOf is x in 64-bit words, the most significant first.
func wordsOf(x *big.Int) []uint64 {
	words := make([]uint64, (x.BitLen()+63)/64)
	buf := x.FillBytes(make([]byte, 8*len(words)))
	for i := range words {
		words[i] = binary.BigEndian.Uint64(buf[8*i:])
	}
	return words
}

// mod is the number in words modulo m. Unlike [big.Int.Mod] it allocates
// nothing.
func mod(words []uint64, m uint64) uint64 {
	var rest uint64
	for _, w := range words {
		_, rest = bits.Div64(rest, w, m)
	}
	return rest
}
