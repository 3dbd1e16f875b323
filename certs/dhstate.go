package certs

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"time"
)

// SearchState is how far a search has come: all candidates before Next are
// tested. It is JSON in a file.
type SearchState struct {
	Bits    int           `json:"bits"`    // of p
	Start   *big.Int      `json:"start"`   // the first candidate for (p-1)/2
	Next    uint64        `json:"next"`    // the one to go on with is Start + 12·Next
	Tested  int64         `json:"tested"`  // without those that were sieved out
	Elapsed time.Duration `json:"elapsed"` // in nanoseconds, of all runs

	// Found is the prime, between its discovery and its use.
	Found *big.Int `json:"found,omitempty"`
}

// at is the candidate j places after the next one.
func (s SearchState) at(j uint64) *big.Int {
	q := new(big.Int).SetUint64(s.Next + j)
	q.Mul(q, big.NewInt(step12))
	return q.Add(q, s.Start)
}

// check refuses a state from which no search for this size can go on.
func (s SearchState) check(bits int) error {
	ok := s.Bits == bits && s.Start != nil && s.Start.Sign() > 0 && s.Start.BitLen() == bits-1 &&
		new(big.Int).Mod(s.Start, big.NewInt(step12)).Int64() == step12-1 &&
		s.Next < math.MaxInt64 && s.at(0).BitLen() == bits-1 && s.Tested >= 0 && s.Elapsed >= 0 &&
		(s.Found == nil || s.Found.BitLen() == bits)
	if !ok {
		return errors.New("the state is not of a search for this size")
	}
	return nil
}

func (s SearchState) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers
	}
	return append(text, '\n')
}

// maxState bounds the state of a search for 8192 bits, in bytes.
const maxState = 16 << 10

// parseState is the state in a file; nil if no search for this size can go on
// from there.
func parseState(text []byte, bits int) *SearchState {
	var s SearchState
	if len(text) > maxState || json.Unmarshal(text, &s) != nil || s.check(bits) != nil {
		return nil
	}
	return &s
}
