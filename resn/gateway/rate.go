package gateway

import (
	"sync"
	"time"
)

// rates bounds the requests of each client to so many a minute, and lets it make
// those of a second at once.
type rates struct {
	perMinute int

	mu   sync.Mutex
	free map[string]time.Time // when the client's bucket is full, by ID
}

// allow takes one request of the client into account, or refuses it.
func (r *rates) allow(client string, now time.Time) bool {
	if r.perMinute <= 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	each := time.Minute / time.Duration(r.perMinute)
	full := r.free[client]
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > max(time.Second-each, 0) {
		return false
	}
	if r.free == nil {
		r.free = map[string]time.Time{}
	}
	for id, at := range r.free { // few, and those whose bucket is full needn't stay
		if at.Before(now) {
			delete(r.free, id)
		}
	}
	r.free[client] = full.Add(each)
	return true
}
