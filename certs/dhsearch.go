package certs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"sync"
	"time"
)

// How often a running search reports, and saves its state.
const (
	reportEvery = time.Second
	saveEvery   = 10 * time.Second
)

// SearchOptions say what [Search] looks for.
type SearchOptions struct {
	Bits    int // of the prime p, from 128 on
	Workers int // 0: one for each core

	// Resume goes on where a search of the same Bits was stopped; nil begins
	// at a random place.
	Resume *SearchState
	// Save is called every ten seconds, when the search is stopped by its
	// context, and when it has found a group. Its error ends the search.
	Save func(SearchState) error
	// Report is called every second.
	Report func(SearchProgress)
}

// Search finds a safe prime p that nobody has used before, with the generator 2
// of the subgroup of order (p-1)/2. It begins at a random place and tests one
// candidate after the other, on all cores; what small primes divide was sieved
// out before. It ends with ctx within the time of a test (a tenth of a second
// at 4096 bits), with the error of ctx.
func Search(ctx context.Context, o SearchOptions) (*DHParams, error) {
	s, err := newSearch(o)
	if err != nil {
		return nil, err
	}
	return s.run(ctx)
}

type search struct {
	SearchOptions
	probe func(q *big.Int) bool // whether q and 2q+1 are prime
	depth uint32
	size  uint64 // of a window

	mu      sync.Mutex  // guards what follows
	state   SearchState // its Next is where the window begins
	counted time.Time   // up to when its Elapsed counts
	window  window
	cursor  uint64    // what is below it in the window was handed out
	testing []*uint64 // what each worker tests
}

func newSearch(o SearchOptions) (*search, error) {
	if o.Bits < 128 || o.Bits > maxDHBits {
		return nil, fmt.Errorf("searching a group of %d bits: want 128 to %d", o.Bits, maxDHBits)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	s := &search{
		SearchOptions: o, probe: isSafe, counted: time.Now(),
		depth: sieveDepth(o.Bits), size: windowSize(o.Bits), testing: make([]*uint64, o.Workers),
	}
	if o.Resume != nil {
		s.state = *o.Resume
		return s, s.state.check(o.Bits)
	}
	start, err := randomStart(o.Bits)
	if err != nil {
		return nil, err
	}
	s.state = SearchState{Bits: o.Bits, Start: start}
	return s, nil
}

// randomStart is a random number ≡ 11 mod 12 of bits-1 bits, the first two of
// them set: so much room is left above that no search leaves it.
func randomStart(bits int) (*big.Int, error) {
	room := new(big.Int).Lsh(big.NewInt(1), uint(bits-3))
	q, err := rand.Int(rand.Reader, room)
	if err != nil {
		return nil, fmt.Errorf("searching a group: %w", err)
	}
	q.Add(q, room.Mul(room, big.NewInt(3)))
	q.Sub(q, new(big.Int).Mod(q, big.NewInt(step12)))
	return q.Add(q, big.NewInt(step12-1)), nil
}

// isSafe tests whether q and 2q+1 are prime; q ≡ 11 mod 12.
//
// Fermat's test to the base 2 comes first: nearly all composite numbers fail
// it. Given that q is prime, 2^q ≡ 1 mod p proves p prime (Pocklington's
// criterion: q divides p-1, is larger than its root, and p does not divide
// 2^2-1), and 2 to have order q. The full check of q, which costs the time of
// dozens of tests, comes last.
func isSafe(q *big.Int) bool {
	one, two := big.NewInt(1), big.NewInt(2)
	if new(big.Int).Exp(two, new(big.Int).Sub(q, one), q).Cmp(one) != 0 {
		return false
	}
	p := safePrime(q)
	return new(big.Int).Exp(two, q, p).Cmp(one) == 0 && q.ProbablyPrime(primeRounds)
}

func safePrime(q *big.Int) *big.Int {
	p := new(big.Int).Lsh(q, 1)
	return p.Add(p, big.NewInt(1))
}

func (s *search) run(ctx context.Context) (*DHParams, error) {
	for {
		s.report(s.state, 0)
		w, err := sieve(ctx, s.state.at(0), s.size, s.depth, s.Workers)
		s.count()
		if err != nil {
			return nil, s.stop(err)
		}
		s.window, s.cursor = w, 0
		q, err := s.searchWindow(ctx)
		if err != nil {
			return nil, s.stop(err)
		}
		if q != nil {
			s.state.Found = safePrime(q)
			return &DHParams{P: s.state.Found, G: big.NewInt(2)}, s.stop(nil)
		}
	}
}

// stop saves where the search is, so that another goes on from there.
func (s *search) stop(cause error) error {
	if s.Save == nil {
		return cause
	}
	return errors.Join(cause, s.Save(s.state))
}

// searchWindow tests the window's candidates until there is a hit, and moves
// the state behind those that are tested. No hit and no error is the end of
// the window.
func (s *search) searchWindow(ctx context.Context) (hit *big.Int, err error) {
	work, stop := context.WithCancel(ctx)
	defer stop()
	hits := make(chan *big.Int, s.Workers)
	var workers sync.WaitGroup
	for i := range s.Workers {
		workers.Go(func() {
			if q := s.work(work, i); q != nil {
				hits <- q
				stop()
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	err = s.watch(finished)
	stop()
	<-finished
	s.state = s.position()
	select {
	case hit = <-hits:
		return hit, nil
	default:
		return nil, cmp.Or(err, ctx.Err())
	}
}

// work tests candidates until ctx ends or the window does, and returns a hit.
func (s *search) work(ctx context.Context, worker int) *big.Int {
	for ctx.Err() == nil {
		q := s.take(worker)
		if q == nil {
			return nil
		}
		hit := s.probe(q)
		s.done(worker)
		if hit {
			return q
		}
	}
	return nil
}

// take is the next candidate; nil at the end of the window.
func (s *search) take(worker int) *big.Int {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.window.next(s.cursor)
	s.cursor = min(j+1, s.size)
	if j == s.size {
		return nil
	}
	s.testing[worker] = &j
	return s.state.at(j)
}

func (s *search) done(worker int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.testing[worker] = nil
	s.state.Tested++
}

// position is the state from which all goes on that is not tested yet. While
// workers are at it, it repeats what others have tested meanwhile.
func (s *search) position() SearchState {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, low := s.state, s.cursor
	for _, j := range s.testing {
		if j != nil {
			low = min(low, *j)
		}
	}
	at.Next += low
	return at
}

// watch reports and saves until the workers are finished.
func (s *search) watch(finished <-chan struct{}) error {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	began := s.position()
	saved := began.Elapsed
	for {
		select {
		case <-finished:
			s.count()
			return nil
		case <-ticker.C:
		}
		s.count()
		at := s.position()
		s.report(at, float64(at.Tested-began.Tested)/(at.Elapsed-began.Elapsed).Seconds())
		if s.Save != nil && at.Elapsed-saved >= saveEvery {
			if err := s.Save(at); err != nil {
				return err
			}
			saved = at.Elapsed
		}
	}
}

// count adds the time since it was last called to the search's.
func (s *search) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.state.Elapsed += now.Sub(s.counted)
	s.counted = now
}

func (s *search) report(at SearchState, rate float64) {
	if s.Report != nil {
		s.Report(SearchProgress{
			Bits: s.Bits, Tested: at.Tested, Expected: meanTests(s.Bits, s.depth), Elapsed: at.Elapsed, Rate: rate,
		})
	}
}
