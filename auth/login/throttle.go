package login

import (
	"net/netip"
	"sync"
	"time"
)

// throttle slows guessing down, by address and by account.
//
// Nobody is locked out by somebody else's guesses: an account that is guessed
// at from everywhere stays open to a device that has logged in to it before,
// which has a count of its own, and to addresses that haven't guessed.
//
// Counts are those of one process, in bounded memory: n processes allow n
// times as many guesses.
type throttle struct {
	now   func() time.Time
	mu    sync.Mutex
	tries map[string]*bucket
	limit int
}

// bucket is a token bucket.
type bucket struct {
	left float64
	at   time.Time
}

// quota is how many tries there are at once, and how long until one more.
type quota struct {
	burst float64
	every time.Duration
}

var (
	perAddress = quota{30, 10 * time.Second}  // a household behind one address
	perPair    = quota{8, 20 * time.Second}   // one account from one address
	perAccount = quota{100, 30 * time.Second} // one account from everywhere
	perDevice  = quota{10, 20 * time.Second}  // one account from a device that it knows
	perAsking  = quota{60, 2 * time.Second}   // challenges of passkeys for one address: each is stored for minutes
)

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, tries: make(map[string]*bucket), limit: 100_000}
}

// guess is one try at an account.
type guess struct {
	account string // application and name, whether it exists or not
	address netip.Addr
	device  string // that the account knows, or empty
	asking  bool   // for a challenge, which is no try at an account
}

func (g guess) buckets() map[string]quota {
	if g.device != "" {
		return map[string]quota{"d" + g.device + "\x00" + g.account: perDevice}
	}
	net := network(g.address)
	if g.asking {
		return map[string]quota{"c" + net: perAsking}
	}
	return map[string]quota{
		"a" + net:                      perAddress,
		"p" + net + "\x00" + g.account: perPair,
		"n" + g.account:                perAccount,
	}
}

// network is what one person can easily have: an IPv4 address, or a /64.
func network(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}

// allow takes one try from each count that the guess is in. It returns how long
// to wait when one of them has none left; then nothing is taken.
func (t *throttle) allow(g guess) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	taken := make([]*bucket, 0, 3)
	for key, q := range g.buckets() {
		b := t.bucket(key, q, now)
		if b.left < 1 {
			wait = max(wait, time.Duration((1-b.left)*float64(q.every)))
			continue
		}
		taken = append(taken, b)
	}
	if wait > 0 {
		return wait, false
	}
	for _, b := range taken {
		b.left--
	}
	return 0, true
}

// forgive gives back what a try took that was no guess.
func (t *throttle) forgive(g guess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for key, q := range g.buckets() {
		b := t.bucket(key, q, now)
		b.left = min(b.left+1, q.burst)
	}
}

func (t *throttle) bucket(key string, q quota, now time.Time) *bucket {
	b := t.tries[key]
	if b == nil {
		if len(t.tries) >= t.limit {
			t.sweep(now)
		}
		b = &bucket{q.burst, now}
		t.tries[key] = b
	}
	if since := now.Sub(b.at); since > 0 {
		b.left = min(b.left+float64(since)/float64(q.every), q.burst)
	}
	b.at = now
	return b
}

// sweep forgets what hasn't been counted for the longest any count takes to
// fill, and if nothing is so old, any tenth.
func (t *throttle) sweep(now time.Time) {
	const full = 100 * 30 * time.Second
	for key, b := range t.tries {
		if now.Sub(b.at) > full {
			delete(t.tries, key)
		}
	}
	if len(t.tries) < t.limit {
		return
	}
	drop := t.limit / 10
	for key := range t.tries {
		if drop--; drop < 0 {
			return
		}
		delete(t.tries, key)
	}
}
