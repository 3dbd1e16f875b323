package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Failed logins are budgeted before their password is hashed. A pair of address
// and account may fail 20 times at once and then every six seconds; an address
// alone, whatever the account, 200 times and then every second. Containerd
// fails twice for one bad password (POST, then GET), and a NAT hides many
// people behind one address.
const (
	pairBurst, pairRefill       = 20, 6 * time.Second
	addressBurst, addressRefill = 200, time.Second
	// budgetEntries bounds the memory. An attacker cannot flush his own entry:
	// each other pair he uses costs him budget of his address.
	budgetEntries = 1 << 16
)

// budget counts failures per (address, account) and per address.
type budget struct {
	now     func() time.Time
	seed    maphash.Seed
	mu      sync.Mutex
	entries *lru.Cache[budgetKey, bucket]
}

// budgetKey is an address with an account, or without one: whatever the account.
// The account is hashed because its length is the client's choice.
type budgetKey struct {
	addr    netip.Prefix
	pair    bool
	account uint64
}

// bucket is a token bucket, kept as the time at which it will be full again:
// each failure moves that on by one refill.
type bucket struct{ full time.Time }

func newBudget(now func() time.Time) *budget {
	entries, err := lru.New[budgetKey, bucket](budgetEntries)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &budget{now: now, seed: maphash.MakeSeed(), entries: entries}
}

// take reserves one failure. When the budget is used up it reports how long to
// wait. giveBack returns the reservation after a success: taking first keeps
// parallel guesses from slipping through together.
func (b *budget) take(addr netip.Addr, account string) (wait time.Duration, giveBack func()) {
	address := budgetKey{addr: network(addr)}
	pair := budgetKey{address.addr, true, maphash.String(b.seed, account)}
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	wait = max(b.wait(pair, now, pairBurst, pairRefill), b.wait(address, now, addressBurst, addressRefill))
	if wait > 0 {
		return wait, nil
	}
	b.move(pair, now, pairRefill)
	b.move(address, now, addressRefill)
	return 0, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.move(pair, now, -pairRefill)
		b.move(address, now, -addressRefill)
	}
}

func (b *budget) wait(k budgetKey, now time.Time, burst int, refill time.Duration) time.Duration {
	e, _ := b.entries.Peek(k)
	used := max(0, e.full.Sub(now))
	return used + refill - time.Duration(burst)*refill
}

func (b *budget) move(k budgetKey, now time.Time, by time.Duration) {
	e, _ := b.entries.Get(k)
	if by > 0 && e.full.Before(now) {
		e.full = now
	}
	if e.full = e.full.Add(by); !e.full.After(now) {
		b.entries.Remove(k) // full again: as if it had never been used
		return
	}
	b.entries.Add(k, e)
}

// network is what counts as one client: an IPv4 address or an IPv6 /64, which
// is what one customer gets.
func network(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits) // the zero Addr gives the zero Prefix
	return p
}
