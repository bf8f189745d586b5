package membus

import (
	"context"

	"github.com/goswale/swale/bus/driver"
)

// DeleteGroup implements driver.GroupDeleter.
func (c *conn) DeleteGroup(_ context.Context, name, groupName string) error {
	if c.opts.Faults.isCut() {
		return driver.Temporary(errCut)
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	t := c.broker.topic(name)
	g := t.groups[groupName]
	if g == nil {
		return nil
	}
	for q, timer := range g.delayed {
		timer.Stop()
		delete(g.delayed, q)
	}
	g.ready = nil
	delete(t.groups, groupName)
	return nil
}
