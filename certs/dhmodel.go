package certs

import (
	"fmt"
	"math"
	"time"
)

// The Bateman-Horn conjecture, which agrees with all that was ever counted,
// says how rare safe primes are: near q the share of numbers ≡ 11 mod 12 for
// which q and 2q+1 are both prime is 12·C2/(ln q·ln 2q), with C2 the twin prime
// constant. Of these numbers, 12·C2·exp(-2γ)/ln²B survive a sieve up to B
// (Mertens), so a search tests ln q·ln 2q·exp(-2γ)/ln²B of them on average.
const (
	twinPrime  = 0.6601618158468696
	eulerGamma = 0.5772156649015329
)

// meanCandidates is how many candidates there are to one hit.
func meanCandidates(bits int) float64 {
	return math.Ln2 * float64(bits-1) * math.Ln2 * float64(bits) / (step12 * twinPrime)
}

// meanTests is how many of them a search tests until it has a hit, on average,
// after a sieve up to depth.
func meanTests(bits int, depth uint32) float64 {
	log := math.Log(float64(depth))
	return math.Ln2 * float64(bits-1) * math.Ln2 * float64(bits) * math.Exp(-2*eulerGamma) / (log * log)
}

// sieveDepth is up to which prime the candidates are sieved. Sieving twice as
// deep saves 2/log2(B) of the tests, which cost more the larger the numbers
// are. BenchmarkDHExpected measures the optimum, which is flat.
func sieveDepth(bits int) uint32 {
	switch {
	case bits <= 512:
		return 1 << 17
	case bits <= 1024:
		return 1 << 21
	case bits <= 2048:
		return 1 << 26
	case bits <= 3072:
		return 1 << 28
	}
	return 1 << 29
}

// windowSize is how many candidates are sieved at once: a power of two, and
// at least eight times what a search needs on average, so that one window in
// 3000 (e^-8) is without a hit. That is 1 MiB of flags for 4096 bits.
func windowSize(bits int) uint64 {
	size := uint64(1 << 12)
	for float64(size) < 8*meanCandidates(bits) {
		size *= 2
	}
	return size
}

// SearchProgress tells how a search is getting on. Nobody can tell when it will
// end: each test is as likely as any other to be the last.
type SearchProgress struct {
	Bits     int
	Tested   int64         // candidates tested, in interrupted runs too
	Expected float64       // tests that a search needs on average
	Elapsed  time.Duration // in interrupted runs too
	Rate     float64       // tests per second of this run; 0 while it sieves
}

// Chance is the share of searches that are over after as many tests.
func (p SearchProgress) Chance() float64 { return 1 - math.Exp(-float64(p.Tested)/p.Expected) }

// String is the progress in a line. The mean wait does not get shorter: see
// [SearchProgress].
func (p SearchProgress) String() string {
	text := fmt.Sprintf("own %d-bit group: %d tested in %s; ", p.Bits, p.Tested, p.Elapsed.Round(time.Second))
	if p.Rate == 0 {
		return text + "sieving"
	}
	mean := time.Duration(p.Expected / p.Rate * float64(time.Second))
	return fmt.Sprintf("%smean wait %s; %.0f%% of searches end by now", text, mean.Round(time.Second), 100*p.Chance())
}
