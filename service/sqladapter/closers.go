package sqladapter

import "sync"

// closers close connections while nobody waits for it, until somebody does.
type closers struct {
	mu    sync.Mutex
	ended bool
	work  sync.WaitGroup
}

// run has f called, or returns false when it is too late for that.
func (c *closers) run(f func() error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.work.Go(func() { _ = f() }) // nobody uses the connection any more
	return true
}

func (c *closers) wait() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.work.Wait()
}
