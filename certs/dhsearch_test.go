package certs

import (
	"context"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSearchFindsAGroup(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{128, 129, 256, 512, 1024} {
		var saved SearchState
		group, err := Search(t.Context(), SearchOptions{Bits: bits, Save: func(s SearchState) error { saved = s; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if group.P.BitLen() != bits || new(big.Int).Mod(group.P, big.NewInt(24)).Int64() != 23 || group.G.Int64() != 2 {
			t.Errorf("%d bits: p = %x, g = %d", bits, group.P, group.G)
		}
		if err := group.checkSafe(); err != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
		if saved.Found == nil || saved.Found.Cmp(group.P) != 0 || parseState(saved.encode(), bits) == nil {
			t.Errorf("%d bits: saved %+v", bits, saved)
		}
		if bits >= 512 { // what OpenSSL takes for a group at all
			opensslAccepts(t, group)
		}
	}
	for _, bits := range []int{0, 127, 8193} {
		if _, err := Search(t.Context(), SearchOptions{Bits: bits}); err == nil {
			t.Errorf("%d bits: no error", bits)
		}
	}
}

// near2048 is a state of a search, shortly before a hit: finding another takes
// seconds on an idle machine, and can take minutes.
func near2048(t *testing.T) *SearchState {
	t.Helper()
	state := parseState(read(t, filepath.Join("testdata", "near2048.json")), 2048)
	if state == nil {
		t.Fatal("no state in the file")
	}
	return state
}

// The real size, up to a handshake of OpenSSL's that uses the group.
func TestSearchedGroupInUse(t *testing.T) {
	t.Parallel()
	group, err := Search(t.Context(), SearchOptions{Bits: 2048, Resume: near2048(t)})
	if err != nil {
		t.Fatal(err)
	}
	if group.WellKnown() {
		t.Error("found a group of RFC 7919")
	}
	if err := CheckDH(group); err != nil {
		t.Error(err)
	}
	opensslAccepts(t, group)
	dir := t.TempDir()
	pair := filepath.Join(dir, "pair.pem")
	openssl := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=reg.test", "-keyout", pair, "-out", pair+".crt")
	if out, err := openssl.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(pair, read(t, pair, pair+".crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	nginxAccepts(t, pair, group)
}

func TestSieve(t *testing.T) {
	t.Parallel()
	const size, depth = 5000, 3000
	base, err := randomStart(256)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sieve(t.Context(), base, size, depth, 3)
	if err != nil {
		t.Fatal(err)
	}
	small := primesUpTo(depth)
	q, left := new(big.Int).Set(base), w.next(0)
	for j := uint64(0); j < size; j++ {
		composite := slices.ContainsFunc(small, func(r uint64) bool {
			rest := mod(wordsOf(q), r)
			return rest == 0 || (2*rest+1)%r == 0
		})
		if isLeft := j == left; isLeft == composite {
			t.Fatalf("candidate %d: left %t, has a small factor %t", j, isLeft, composite)
		}
		if !composite {
			left = w.next(j + 1)
		}
		q.Add(q, big.NewInt(step12))
	}
	if left != size {
		t.Errorf("candidate %d after the end", left)
	}
}

func TestPrimesIn(t *testing.T) {
	t.Parallel()
	const limit = 1_000_000 // in the fourth range
	want := primesUpTo(limit)
	if len(want) != 78498 { // https://oeis.org/A006880
		t.Errorf("%d primes up to a million", len(want))
	}
	got := []uint64{2}
	flags := make([]bool, primeRange/2)
	for from := uint64(0); from < limit; from += primeRange {
		got = slices.AppendSeq(got, primesIn(flags, from, limit, primesUpTo(isqrt(limit)+1)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d primes in ranges, %d at once", len(got), len(want))
	}
}

// The model of the sieve is what estimates and the choice of its depth rest on.
func TestModelOfTheSieve(t *testing.T) {
	t.Parallel()
	const bits, size = 512, 1 << 20
	base, err := randomStart(bits)
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []uint32{1 << 12, 1 << 16, 1 << 20} {
		w, err := sieve(t.Context(), base, size, depth, 2)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for j := w.next(0); j < size; j = w.next(j + 1) {
			left++
		}
		// The deviation of the count is below 1 %.
		if got, want := float64(left)/size, meanTests(bits, depth)/meanCandidates(bits); got < 0.93*want || got > 1.07*want {
			t.Errorf("depth %d: %.4f of the candidates are left, the model says %.4f", depth, got, want)
		}
	}
}

// recorder notes what a search tests, and interrupts it now and then.
type recorder struct {
	mu     sync.Mutex
	tested []string
}

// pass runs a search that finds nothing until it has tested more candidates.
func (r *recorder) pass(t *testing.T, resume *SearchState, workers, more int) *SearchState {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var saved SearchState
	s, err := newSearch(SearchOptions{Bits: 256, Workers: workers, Resume: resume, Save: func(s SearchState) error { saved = s; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.size, s.depth = 1<<12, 1<<10 // so that it needs many windows
	until := len(r.tested) + more
	s.probe = func(q *big.Int) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tested = append(r.tested, q.String())
		if len(r.tested) >= until {
			stop()
		}
		return false
	}
	if _, err := s.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := len(r.tested) - until; n >= workers {
		t.Errorf("%d tests began after the end of %d workers", n, workers)
	}
	if saved.Tested != int64(len(r.tested)) {
		t.Errorf("saved %d tests of %d", saved.Tested, len(r.tested))
	}
	state := parseState(saved.encode(), 256)
	if state == nil {
		t.Fatalf("saved %+v", saved)
	}
	return state
}

// Interrupted again and again, with other numbers of workers, a search tests
// what one in a single piece tests: nothing twice, and nothing left out.
func TestSearchGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	start, err := randomStart(256)
	if err != nil {
		t.Fatal(err)
	}
	begin := &SearchState{Bits: 256, Start: start}
	var pieces, whole recorder
	state := begin
	for i, more := range []int{1, 3, 700, 2, 500, 1, 1} {
		state = pieces.pass(t, state, i%3+1, more)
	}
	whole.pass(t, begin, 1, len(pieces.tested))
	got, want := slices.Sorted(slices.Values(pieces.tested)), slices.Sorted(slices.Values(whole.tested))
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("a candidate was tested twice")
	}
	if !slices.Equal(got, want) {
		t.Errorf("tested %d candidates in pieces, %d at once, and not the same", len(got), len(want))
	}
	if state.Next <= 1<<12 {
		t.Errorf("all was in one window, up to %d", state.Next)
	}
}

// What is saved while the search runs leaves nothing out either, so a power cut
// costs the tests of seconds.
func TestStateWhileSearching(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := newSearch(SearchOptions{Bits: 256, Workers: 4})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	done := map[string]bool{}
	begin := s.state // the first window is there
	s.probe = func(q *big.Int) bool {
		at := s.position()
		mu.Lock()
		defer mu.Unlock()
		for j := s.window.next(0); j < at.Next; j = s.window.next(j + 1) {
			if !done[begin.at(j).String()] {
				t.Errorf("%d is before %d, and was not tested", j, at.Next)
			}
		}
		if done[q.String()] = true; len(done) > 200 {
			stop()
		}
		return false
	}
	if _, err := s.run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSearchIsStopped(t *testing.T) {
	t.Parallel()
	// Before anything was tested, while it sieves deep.
	ctx, stop := context.WithCancel(t.Context())
	var saved atomic.Int32
	_, err := Search(ctx, SearchOptions{
		Bits: 8192, Report: func(SearchProgress) { stop() },
		Save: func(s SearchState) error { saved.Add(1); return nil },
	})
	if !errors.Is(err, context.Canceled) || saved.Load() != 1 {
		t.Errorf("%v, saved %d times", err, saved.Load())
	}

	// By a state that cannot be saved.
	full := errors.New("disk full")
	s, err := newSearch(SearchOptions{Bits: 128, Save: func(SearchState) error { return full }})
	if err != nil {
		t.Fatal(err)
	}
	s.state.Elapsed = -time.Hour // as if it were long since the last time
	if _, err := s.run(t.Context()); !errors.Is(err, full) {
		t.Error(err)
	}

	for name, change := range map[string]func(*SearchState){
		"size":  func(s *SearchState) { s.Bits = 512 },
		"start": func(s *SearchState) { s.Start.Add(s.Start, big.NewInt(1)) },
		"empty": func(s *SearchState) { s.Start = nil },
		"far":   func(s *SearchState) { s.Next = 1 << 63 },
		"found": func(s *SearchState) { s.Found = big.NewInt(23) },
	} {
		start, err := randomStart(256)
		if err != nil {
			t.Fatal(err)
		}
		state := SearchState{Bits: 256, Start: start}
		change(&state)
		if _, err := Search(t.Context(), SearchOptions{Bits: 256, Resume: &state}); err == nil {
			t.Errorf("%s: went on", name)
		}
		if parseState(state.encode(), 256) != nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for _, text := range []string{"", "{}", "{", "null", "[]", `{"bits":256,"start":` + strings.Repeat("9", maxState) + "}"} {
		if parseState([]byte(text), 256) != nil {
			t.Errorf("%.20s: parsed", text)
		}
	}
}

func TestSearchProgress(t *testing.T) {
	t.Parallel()
	p := SearchProgress{Bits: 4096, Expected: 6287, Elapsed: 3 * time.Second}
	if got := p.String(); got != "own 4096-bit group: 0 tested in 3s; sieving" {
		t.Error(got)
	}
	p.Tested, p.Rate, p.Elapsed = 4358, 73.5, time.Minute
	if got := p.String(); got != "own 4096-bit group: 4358 tested in 1m0s; mean wait 1m26s; 50% of searches end by now" {
		t.Error(got)
	}
	if got := p.asStep(); got.Done != 500 || got.Total != 1000 || got.Text != p.String() {
		t.Errorf("%+v", got)
	}
}
