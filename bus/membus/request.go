package membus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// service is the servers of one subject, by group. The broker's mutex guards it.
type service struct {
	groups map[string][]*server
	next   uint64
}

// server is one Serve.
type server struct {
	broker  *Broker
	subject string
	group   string
	slots   chan struct{}
	h       func(context.Context, driver.Message) (driver.Message, error)
	ctx     context.Context //nolint:containedctx // ends at Detach
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

type answer struct {
	m   driver.Message
	err error
}

// Request implements driver.Requester.
func (c *conn) Request(ctx context.Context, subject string, m *driver.Message, deadline time.Time) (driver.Message, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if c.opts.Faults.isCut() {
		return driver.Message{}, driver.Temporary(errCut)
	}
	c.broker.mu.Lock()
	var chosen []*server
	if s := c.broker.services[subject]; s != nil {
		s.next++
		for _, servers := range s.groups {
			if len(servers) > 0 {
				chosen = append(chosen, servers[s.next%uint64(len(servers))])
			}
		}
	}
	out := make(chan answer, len(chosen))
	for _, s := range chosen {
		in := copyOf(*m)
		s.wg.Go(func() { s.serve(ctx, in, out) })
	}
	c.broker.mu.Unlock()
	if len(chosen) == 0 {
		return driver.Message{}, driver.ErrNoResponders
	}
	select {
	case a := <-out:
		return a.m, a.err
	case <-ctx.Done():
		return driver.Message{}, context.Cause(ctx)
	}
}

// serve answers one request. The handler's context carries the caller's deadline
// and cancellation and none of its values, as if it came from elsewhere.
func (s *server) serve(caller context.Context, m driver.Message, out chan<- answer) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if deadline, ok := caller.Deadline(); ok {
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	defer context.AfterFunc(caller, cancel)()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return
	}
	reply, err := s.h(ctx, m)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return // the caller's own clock says it better
		}
		out <- answer{err: &driver.AnswerError{Text: err.Error()}}
		return
	}
	out <- answer{m: copyOf(reply)}
}

// Serve implements driver.Requester.
func (c *conn) Serve(_ context.Context, subject, group string, parallel int, h func(context.Context, driver.Message) (driver.Message, error)) (driver.Subscription, error) {
	if c.opts.Faults.isCut() {
		return nil, driver.Temporary(errCut)
	}
	s := &server{broker: c.broker, subject: subject, group: group, slots: make(chan struct{}, parallel), h: h}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	v := c.broker.services[subject]
	if v == nil {
		v = &service{groups: make(map[string][]*server)}
		c.broker.services[subject] = v
	}
	v.groups[group] = append(v.groups[group], s)
	return s, nil
}

// Stop implements driver.Subscription.
func (s *server) Stop(ctx context.Context) error {
	s.broker.mu.Lock()
	v := s.broker.services[s.subject]
	v.groups[s.group] = slices.DeleteFunc(v.groups[s.group], func(o *server) bool { return o == s })
	s.broker.mu.Unlock()
	return wait(ctx, &s.wg)
}

// Detach implements driver.Subscription.
func (s *server) Detach(context.Context) error {
	s.cancel()
	return nil
}
