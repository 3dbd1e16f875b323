package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/semaphore"
)

const (
	// verifiedFor is how long a proven password is believed without hashing.
	// Docker asks for a token on every command.
	verifiedFor     = 5 * time.Minute
	verifiedEntries = 1 << 16
	// hashQueue is how many requests may wait for their turn to hash.
	hashQueue = 256
	hashWait  = 10 * time.Second
)

// errBusy means that too many passwords are waiting to be hashed.
var errBusy = errors.New("too many logins at once")

// verifier checks passwords against bcrypt hashes: at most one hash per core at
// a time, and none at all for a credential that was proven a moment ago.
type verifier struct {
	now      func() time.Time
	key      []byte // of the HMAC; random per process, so a dump of memory shows no reusable hashes
	verified *lru.Cache[credential, time.Time]
	slots    *semaphore.Weighted
	waiting  atomic.Int64
	observe  func(time.Duration) // how long a hash took
}

// credential stands for (account, hash, password). As the hash is part of it, a
// changed password is another credential and the old one is never found again.
type credential [sha256.Size]byte

func newVerifier(now func() time.Time, observe func(time.Duration)) *verifier {
	cache, err := lru.New[credential, time.Time](verifiedEntries)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	return &verifier{
		now: now, key: key, verified: cache,
		slots:   semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		observe: observe,
	}
}

func (v *verifier) credential(account, hash, password string) credential {
	parts := make([]byte, 0, len(account)+len(hash)+len(password)+3*8)
	for _, part := range [...]string{account, hash, password} {
		parts = binary.BigEndian.AppendUint64(parts, uint64(len(part)))
		parts = append(parts, part...)
	}
	mac := hmac.New(sha256.New, v.key)
	mac.Write(parts)
	return credential(mac.Sum(nil))
}

// known reports whether this credential was proven in the last minutes.
func (v *verifier) known(c credential) bool {
	until, ok := v.verified.Get(c)
	return ok && v.now().Before(until)
}

// check hashes password and compares. Its error is errBusy. The time of a
// failure depends on dearest only, the highest cost of any account, and not on
// the account or its hash: bcrypt's work doubles with each step of cost, so cost
// c followed by dummies of cost c, c+1, … dearest-1 adds up to cost dearest.
func (v *verifier) check(ctx context.Context, c credential, hash, password string, dearest int) (bool, error) {
	if v.waiting.Add(1) > hashQueue {
		v.waiting.Add(-1)
		return false, errBusy
	}
	defer v.waiting.Add(-1)
	// A cancelled request does not get its core back, so let it finish and be
	// remembered: the client will come again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hashWait)
	defer cancel()
	if v.slots.Acquire(ctx, 1) != nil {
		return false, errBusy
	}
	defer v.slots.Release(1)
	start := time.Now()
	ok := compareWith(hash, password, dearest, func(cost int) { burn(cost, password) })
	v.observe(time.Since(start))
	if ok {
		v.verified.Add(c, v.now().Add(verifiedFor))
	}
	return ok, nil
}

// compareWith compares and, on a failure, burns the difference to the dearest
// hash. It never accepts what bcrypt cannot parse. Like docker_auth's library
// it ignores what follows the 72nd byte of a password.
func compareWith(hash, password string, dearest int, burn func(cost int)) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil { // no such account, or no usable hash
		burn(dearest)
		return false
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil {
		return true
	}
	for ; cost < dearest; cost++ {
		burn(cost)
	}
	return false
}

// burn does the work of one comparison at the given cost.
func burn(cost int, password string) {
	bcrypt.CompareHashAndPassword(dummyHash(cost), []byte(password))
}

// dummyHash is a well-formed hash that no known password has.
func dummyHash(cost int) []byte {
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, "....................../..............................")
}
