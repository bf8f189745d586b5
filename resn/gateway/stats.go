package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are the gateway's counts since it was opened.
type Stats struct {
	Published   uint64 // events that the bus has safe
	DataDropped uint64 // events whose data was dropped by DataDropped
	Batches     uint64 // requests that were acknowledged
	Delivered   uint64 // events in them
	Refused     uint64 // requests that were answered otherwise than by 2xx
	Unreachable uint64 // requests without an answer, or with one that says "later"
	Throttled   uint64 // times that a batch waited because its host's circuit was open
	Dead        uint64 // events that became dead letters
	Skipped     uint64 // events that aren't for the subscriber: another type, no notice, too old
}

type counters struct {
	published, dataDropped, batches, delivered, refused, unreachable, throttled, dead, skipped atomic.Uint64
}

// Stats returns the counts of the moment.
func (g *Gateway) Stats() Stats {
	c := &g.stats
	return Stats{
		Published: c.published.Load(), DataDropped: c.dataDropped.Load(), Batches: c.batches.Load(), Delivered: c.delivered.Load(),
		Refused: c.refused.Load(), Unreachable: c.unreachable.Load(), Throttled: c.throttled.Load(), Dead: c.dead.Load(), Skipped: c.skipped.Load(),
	}
}

// SubscriberState is how deliveries to one subscriber go, in this process.
type SubscriberState struct {
	// Subscriber is the ID of its token.
	Subscriber string
	// Failures in a row; 0 when the last request was acknowledged.
	Failures int
	// Until is when the next request may be made, while it is left alone.
	Until time.Time
	// LastError is the last failure's, empty when the last request was acknowledged.
	LastError string
	// Held counts the events taken from the bus and not acknowledged.
	Held int
	// Oldest is when the oldest of them happened; zero if there is none.
	Oldest time.Time
	// Paused is Subscription.Paused.
	Paused string
}

// Subscribers returns the state of every subscriber, in no order.
func (g *Gateway) Subscribers() []SubscriberState {
	workers := *g.seen.Load()
	states := make([]SubscriberState, 0, len(workers))
	for _, w := range workers {
		states = append(states, w.state())
	}
	return states
}

// tally adds up counts by name until they are written somewhere.
type tally struct {
	mu sync.Mutex
	by map[string]int64
}

func (t *tally) add(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]int64{}
	}
	t.by[name] += n
}

func (t *tally) get(name string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[name]
}

func (t *tally) flush(write func(string, int64) error) {
	t.mu.Lock()
	taken := t.by
	t.by = nil
	t.mu.Unlock()
	for name, n := range taken {
		if write(name, n) != nil {
			t.add(name, n)
		}
	}
}
