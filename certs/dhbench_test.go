package certs

import (
	"fmt"
	"math/big"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used of the processors: unlike a clock it
// means the same on a busy machine.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchStart(b *testing.B, bits int) *big.Int {
	b.Helper()
	start, err := randomStart(bits)
	if err != nil {
		b.Fatal(err)
	}
	return start
}

// testCost is the processor time of one test of a candidate.
func testCost(b *testing.B, bits int) time.Duration {
	b.Helper()
	q := benchStart(b, bits)
	const tests = 20
	before := cpuTime(b)
	for range tests {
		isSafe(q)
		q.Add(q, big.NewInt(step12))
	}
	return (cpuTime(b) - before) / tests
}

// BenchmarkDHExpected measures, for several depths of the sieve, what a search
// costs on average: core-s = sieve-s + tests · ms/test. The model's share of
// candidates that survive stands beside the sieve's.
//
//	go test -run - -bench DHExpected -benchtime 1x ./certs
func BenchmarkDHExpected(b *testing.B) {
	for bits, depths := range map[int][]int{2048: {20, 23, 24, 25, 26, 27}, 3072: {24, 26, 27, 28, 29}, 4096: {24, 26, 27, 28, 29, 30}} {
		for _, depth := range depths {
			b.Run(fmt.Sprintf("%d/depth=2^%d", bits, depth), func(b *testing.B) {
				for b.Loop() {
					measureExpected(b, bits, 1<<depth)
				}
			})
		}
	}
}

func measureExpected(b *testing.B, bits int, depth uint32) {
	size := windowSize(bits)
	before := cpuTime(b)
	w, err := sieve(b.Context(), benchStart(b, bits), size, depth, 1)
	if err != nil {
		b.Fatal(err)
	}
	sieving := cpuTime(b) - before
	test := testCost(b, bits)
	tests := meanTests(bits, depth)
	survivors := 0
	for j := w.next(0); j < size; j = w.next(j + 1) {
		survivors++
	}
	b.ReportMetric(sieving.Seconds(), "sieve-s")
	b.ReportMetric(float64(test.Microseconds())/1000, "ms/test")
	b.ReportMetric(tests, "tests")
	b.ReportMetric(100*float64(survivors)/float64(size), "%survive")
	b.ReportMetric(100*tests/meanCandidates(bits), "%model")
	b.ReportMetric(sieving.Seconds()+tests*test.Seconds(), "core-s")
}
