package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"regctl/certs"
)

// How long each of the searches for a 4096-bit group is watched. A whole one
// takes minutes, and luck would decide which is faster.
const dhTime = 30 * time.Second

// opensslTests is how many candidates openssl dhparam 4096 tests on average: it
// divides by the first 1024 primes (crypto/bn/bn_prime.c), and of what that
// leaves one in 31259 is a hit by the model that certs/README.md explains.
const opensslTests = 31259

// measureDH compares the mean time of a search with that of openssl's: the
// tests that each needs on average, at the speed at which it makes them.
func measureDH(string, string) ([]row, error) {
	theirs, err := opensslSearch()
	if err != nil {
		return nil, err
	}
	ours, err := ownSearch()
	if err != nil {
		return nil, err
	}
	return []row{{
		"mean time of `openssl dhparam 4096`, against that of our search", "≥ 4 ×",
		fmt.Sprintf("**%.1f ×** (%.0f s of %.0f s)", theirs.Seconds()/ours.Seconds(), theirs.Seconds(), ours.Seconds()),
	}}, nil
}

// opensslSearch is the mean time of openssl's search, from the dots that it
// prints: one for each candidate that it tests.
func opensslSearch() (time.Duration, error) {
	ctx, stop := context.WithTimeout(context.Background(), dhTime)
	defer stop()
	cmd := exec.CommandContext(ctx, "openssl", "dhparam", "4096")
	var dots bytes.Buffer
	cmd.Stderr = &dots
	began := time.Now()
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("openssl dhparam: %w", err)
	}
	passed, tested := time.Since(began), bytes.Count(dots.Bytes(), []byte("."))
	if tested == 0 {
		return 0, errors.New("openssl dhparam prints no dots")
	}
	return passed / time.Duration(tested) * opensslTests, nil
}

// ownSearch is the mean time of our search: the sieve, then the tests.
func ownSearch() (time.Duration, error) {
	ctx, stop := context.WithTimeout(context.Background(), dhTime)
	defer stop()
	var at certs.SearchProgress
	_, err := certs.Search(ctx, certs.SearchOptions{Bits: 4096, Report: func(p certs.SearchProgress) { at = p }})
	if err != nil && ctx.Err() == nil {
		return 0, err
	}
	if at.Rate == 0 {
		return 0, errors.New("the search tested nothing")
	}
	seconds := func(tests float64) time.Duration { return time.Duration(tests / at.Rate * float64(time.Second)) }
	sieving := at.Elapsed - seconds(float64(at.Tested))
	return sieving + seconds(at.Expected), nil
}
