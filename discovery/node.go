package discovery

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// node is one instance as the caller sees it. What a pick reads are atomics.
type node struct {
	service         *service
	scheme, address string
	instance        atomic.Pointer[Instance]

	inFlight atomic.Int32
	latency  atomic.Int64  // nanoseconds, a moving average; 0 is unknown
	weight   atomic.Uint32 // of 256: less while it warms up
	picks    atomic.Uint64
	left     atomic.Bool // no longer in the view

	// Since the last look at outliers.
	done, failed atomic.Uint32
	busy         atomic.Bool // something finished since the last upkeep

	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	refused atomic.Bool // the last attempt couldn't connect
	open    atomic.Bool // the breaker lets nothing through
	ejected atomic.Bool

	// Guarded by mu.
	mu        sync.Mutex
	retry     *time.Timer // lets the breaker try
	stopped   bool
	warm      time.Time // when the slow start ends
	until     time.Time // when the ejection ends
	ejections int       // in a row
}

const fullWeight = 256

func newNode(s *service, scheme, address string, latency time.Duration) *node {
	n := &node{service: s, scheme: scheme, address: address}
	n.latency.Store(int64(latency))
	n.weight.Store(fullWeight)
	o := s.resolver.opts.Breaker
	n.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       o.Pause,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= o.Failures || n.refused.Load() },
		IsExcluded:    func(err error) bool { return errors.Is(err, errAbandoned) },
		OnStateChange: func(_ string, _, to gobreaker.State) { n.breakerChanged(to) },
	})
	return n
}

// errAbandoned tells the breaker that a request says nothing about the instance.
var errAbandoned = errors.New("abandoned")

// breakerChanged is called with the breaker's mutex held.
func (n *node) breakerChanged(to gobreaker.State) {
	n.open.Store(to == gobreaker.StateOpen)
	if to == gobreaker.StateOpen {
		n.mu.Lock()
		if !n.stopped {
			// The breaker only notices that its pause is over when it is asked.
			n.retry = time.AfterFunc(n.service.resolver.opts.Breaker.Pause+time.Millisecond, func() { n.breaker.State() })
		}
		n.mu.Unlock()
	}
	n.service.changed()
}

// stop ends the timer of a node that is no longer used.
func (n *node) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.retry != nil {
		n.retry.Stop()
	}
}

// warmUp begins a slow start if the instance has only just come.
func (n *node) warmUp(now, started time.Time, first bool) {
	slow := n.service.resolver.opts.SlowStart
	if slow <= 0 {
		return
	}
	end := now.Add(slow)
	if first {
		// We are new here, so only its own word says whether the instance is.
		if end = started.Add(slow); end.Before(now) || started.After(now) {
			return
		}
	}
	n.mu.Lock()
	n.warm = end
	n.mu.Unlock()
	n.warmer(now)
}

// warmer gives the node its weight at the time.
func (n *node) warmer(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	left := n.warm.Sub(now)
	if n.warm.IsZero() || left <= 0 {
		n.weight.Store(fullWeight)
		return
	}
	part := 1 - float64(left)/float64(n.service.resolver.opts.SlowStart)
	n.weight.Store(uint32(fullWeight * max(0.1, part)))
}

// fit says that nothing speaks against sending it requests.
func (n *node) fit() bool { return !n.open.Load() && !n.ejected.Load() }

// score is how long a further request would take, by guess.
func (n *node) score() int64 { return int64(n.inFlight.Load()+1) * (n.latency.Load() + 1) }

// observe moves the average towards a request's latency.
func (n *node) observe(latency time.Duration) {
	for {
		old := n.latency.Load()
		next := old + (int64(latency)-old)/4
		if old == 0 {
			next = int64(latency)
		}
		if n.latency.CompareAndSwap(old, max(1, next)) {
			return
		}
	}
}

// Outcome is how a request to an instance went.
type Outcome struct {
	// Latency is the time to the answer's first byte; 0 isn't counted.
	Latency time.Duration
	// Failed says that the instance is to blame for a failure.
	Failed bool
}

// Picked is an instance that was chosen for a request.
type Picked struct {
	node      *node
	desperate bool // it isn't fit, but nobody is
}

// Instance returns the instance. It must not be changed.
func (p Picked) Instance() *Instance { return p.node.instance.Load() }

// Scheme returns the scheme of the endpoint to be used.
func (p Picked) Scheme() string { return p.node.scheme }

// Address returns the address of the endpoint to be used.
func (p Picked) Address() string { return p.node.address }

// Done says that the caller has finished with the instance, and how it went.
func (p Picked) Done(o Outcome) {
	p.node.report(o)
	p.node.release()
}

// report counts an outcome.
func (n *node) report(o Outcome) {
	n.done.Add(1)
	if o.Failed {
		n.failed.Add(1)
	} else if o.Latency > 0 {
		n.observe(o.Latency)
	}
	if !n.busy.Load() {
		n.busy.Store(true)
	}
}

// release ends a request's claim on the node.
func (n *node) release() {
	if n.inFlight.Add(-1) == 0 && n.left.Load() {
		s := n.service
		s.mu.Lock()
		delete(s.leaving, n)
		s.mu.Unlock()
	}
}
