package auth

import (
	"sync"
	"time"
)

// gap knows from when on no revocation was missed, by the issuer's clock.
type gap struct {
	mu     sync.RWMutex
	misses uint64
	known  bool
	from   time.Time
	again  chan struct{} // holds one when something was missed
}

// missed says that revocations were missed, or may have been.
func (g *gap) missed() {
	g.mu.Lock()
	g.misses++
	g.known = false
	g.mu.Unlock()
	select {
	case g.again <- struct{}{}:
	default:
	}
}

// since returns from when on nothing was missed. watermark says up to when all
// was announced, if that is known: it is asked for after a miss.
func (g *gap) since(watermark func() (time.Time, bool)) (time.Time, bool) {
	g.mu.RLock()
	from, known, misses := g.from, g.known, g.misses
	g.mu.RUnlock()
	if known {
		return from, true
	}
	// What was revoked before the watermark concerns tokens from before it;
	// what is revoked after it will be heard of.
	mark, ok := watermark()
	if !ok {
		return time.Time{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.misses != misses {
		return time.Time{}, false
	}
	if !g.known {
		g.from, g.known = mark, true
	}
	return g.from, true
}
