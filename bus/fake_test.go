package bus_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// fake is a driver whose answers the test decides.
type fake struct {
	mu      sync.Mutex
	sent    [][]driver.Message
	publish func(round int, msgs []driver.Message, done func(int, error))

	deliver func(driver.Delivery)
	stopped bool
}

func (*fake) Info() driver.Info { return driver.Info{Name: "fake"} }

func (f *fake) Publish(_ context.Context, _ string, msgs []driver.Message, done func(int, error)) {
	f.mu.Lock()
	f.sent = append(f.sent, msgs)
	round := len(f.sent)
	f.mu.Unlock()
	f.publish(round, msgs, done)
}

// rounds returns how often something was published.
func (f *fake) rounds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

func (*fake) CreateGroup(context.Context, string, string) error { return nil }

func (*fake) Backlog(context.Context, string, string) (int, error) { return 0, nil }

func (f *fake) Group(_ context.Context, _, _ string, _ driver.GroupOptions, deliver func(driver.Delivery)) (driver.Subscription, error) {
	f.deliver = deliver
	return f, nil
}

func (*fake) Broadcast(context.Context, string, driver.Sink) (driver.Subscription, error) {
	return nil, errors.ErrUnsupported
}

func (*fake) Close(context.Context) error { return nil }

func (f *fake) Stop(context.Context) error {
	f.stopped = true
	return nil
}

func (*fake) Detach(context.Context) error { return nil }

// ack records how a delivery was settled.
type ack struct {
	mu      sync.Mutex
	acks    int
	nacks   []time.Duration
	touches int
}

// acked returns how often the delivery was acked.
func (a *ack) acked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acks
}

func (a *ack) Ack() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acks++
	return nil
}

func (a *ack) Nack(d time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nacks = append(a.nacks, d)
	return nil
}

func (a *ack) Touch() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.touches++
	return nil
}
