package embedded

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Token requests of one address, as in nginx's configuration: a build that
// pulls many images asks for many tokens at once.
const (
	authRate  = 10 // per second
	authBurst = 60
	// addressesKept bounds the memory of a limiter, to some 20 MB.
	addressesKept = 1 << 16
)

// limiter answers 429 to addresses that ask too often.
type limiter struct {
	next http.Handler
	now  func() time.Time

	mu sync.Mutex
	// Addresses are kept in two generations. The older one is dropped when an
	// address in it has had the time to fill its burst again, so that nothing is
	// forgotten, or when the younger is full.
	young, old map[netip.Prefix]*rate.Limiter
	turned     time.Time
}

func limitRate(next http.Handler) *limiter {
	return &limiter{next: next, now: time.Now, young: map[netip.Prefix]*rate.Limiter{}}
}

// ServeHTTP implements http.Handler.
func (l *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !l.allow(r.RemoteAddr) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests: try again in a second", http.StatusTooManyRequests)
		return
	}
	l.next.ServeHTTP(w, r)
}

func (l *limiter) allow(remote string) bool {
	from, now := network(remote), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.turned) > time.Second*authBurst/authRate || len(l.young) >= addressesKept {
		l.old, l.young, l.turned = l.young, map[netip.Prefix]*rate.Limiter{}, now
	}
	bucket := l.young[from]
	if bucket == nil {
		if bucket = l.old[from]; bucket == nil {
			bucket = rate.NewLimiter(authRate, authBurst)
		}
		l.young[from] = bucket
	}
	return bucket.AllowN(now, 1)
}

// network is what one client has of addresses: one of IPv4, a /64 of IPv6 (RFC
// 6177).
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // bits are in range
	return prefix
}
