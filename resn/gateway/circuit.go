package gateway

import (
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// maxCircuits bounds the hosts that account is kept of.
const maxCircuits = 4096

// circuits has a breaker for each host, shared by all subscribers behind it: a
// host that is down isn't asked by each of them in turn.
type circuits struct {
	failures uint32
	openFor  time.Duration

	mu sync.Mutex
	by map[string]*gobreaker.TwoStepCircuitBreaker[struct{}]
}

// allow returns a function that takes the request's outcome, or an error if the
// host is to be left alone.
func (c *circuits) allow(host string) (func(error), error) {
	return c.breaker(host).Allow()
}

func (c *circuits) breaker(host string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.by[host]
	if b == nil {
		if c.by == nil || len(c.by) >= maxCircuits {
			// Forgetting makes us ask a host once more, no worse.
			c.by = map[string]*gobreaker.TwoStepCircuitBreaker[struct{}]{}
		}
		b = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: host, Timeout: c.openFor,
			ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= c.failures },
		})
		c.by[host] = b
	}
	return b
}

// forget has a host asked again at once.
func (c *circuits) forget(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.by, host)
}
