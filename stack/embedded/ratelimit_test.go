package embedded

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := limitRate(named("auth"))
	l.now = func() time.Time { return now }
	ask := func(from string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/auth", nil)
		r.RemoteAddr = from
		l.ServeHTTP(w, r)
		return w.Code
	}
	through := func(from string, n int) (passed int) {
		for i := range n {
			if ask(fmt.Sprintf("%s:%d", from, 1000+i)) == http.StatusOK {
				passed++
			}
		}
		return passed
	}
	for _, test := range []struct {
		from string
		wait time.Duration
		want int // of 100
	}{
		{"192.0.2.1", 0, 60},
		{"192.0.2.1", time.Second, 10},
		{"192.0.2.2", 0, 60},
		{"[::ffff:192.0.2.2]", 0, 0}, // the same
		{"[2001:db8::1]", 0, 60},
		{"[2001:db8::2]", 0, 0}, // the same network
		{"[2001:db8:0:1::1]", 0, 60},
		{"192.0.2.1", 7 * time.Second, 60}, // a generation later
		{"192.0.2.1", 3500 * time.Millisecond, 35},
		{"192.0.2.1", 3500 * time.Millisecond, 35}, // from the older generation
	} {
		now = now.Add(test.wait)
		if got := through(test.from, 100); got != test.want {
			t.Errorf("%s after %s: %d of 100 passed, want %d", test.from, test.wait, got, test.want)
		}
	}
	for i := range 3 * addressesKept {
		l.allow(fmt.Sprintf("10.%d.%d.%d:1", i>>16, byte(i>>8), byte(i)))
	}
	if n := len(l.young) + len(l.old); n > 2*addressesKept {
		t.Errorf("%d addresses are kept", n)
	}
}
