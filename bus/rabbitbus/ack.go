package rabbitbus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var errStale = errors.New("the delivery's connection is gone; the broker delivers it again")

// session is one channel of a member, and the acks that are to be sent on it. One
// goroutine sends them; what gathers meanwhile is acked by one frame where it can.
type session struct {
	ch channel

	mu    sync.Mutex
	last  uint64 // highest tag that came
	done  int    // tags that were settled
	queue []verdict
	dead  bool
	wake  chan struct{}
	wg    sync.WaitGroup
	idle  []chan struct{} // flushes that wait

	low     uint64              // every tag up to here is settled at the broker
	settled map[uint64]struct{} // those above low that are
}

type verdict struct {
	tag  uint64
	back bool // to the queue
}

func newSession(ch channel) *session {
	s := &session{ch: ch, wake: make(chan struct{}, 1), settled: make(map[uint64]struct{})}
	s.wg.Go(s.send)
	return s
}

func (s *session) came(tag uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = tag
}

// unsettled counts what came and isn't acked or given back.
func (s *session) unsettled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return 0
	}
	return int(s.last) - s.done
}

// settle queues a verdict. It doesn't block.
func (s *session) settle(v verdict) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errStale
	}
	s.done++
	s.queue = append(s.queue, v)
	s.poke()
	return nil
}

func (s *session) poke() { signal(s.wake) }

// send sends what is queued until close.
func (s *session) send() {
	var spare []verdict
	for range s.wake {
		s.mu.Lock()
		batch, idle := s.queue, s.idle
		s.queue, s.idle = spare[:0], nil
		s.mu.Unlock()
		err := s.batch(batch)
		for _, c := range idle {
			close(c)
		}
		if err != nil {
			s.mu.Lock()
			s.dead = true
			s.mu.Unlock()
		}
		spare = batch
	}
}

// batch sends verdicts: one ack for everything up to which nothing is missing, one
// each for the rest.
func (s *session) batch(batch []verdict) error {
	slices.SortFunc(batch, func(a, b verdict) int { return int(a.tag) - int(b.tag) })
	for _, v := range batch {
		s.settled[v.tag] = struct{}{}
		if v.back {
			if err := s.ch.Nack(v.tag, false, true); err != nil {
				return err
			}
		}
	}
	low := s.low
	for {
		if _, ok := s.settled[low+1]; !ok {
			break
		}
		low++
		delete(s.settled, low)
	}
	s.low = low
	all := uint64(0) // the last of the batch that one ack can cover
	for _, v := range batch {
		if !v.back && v.tag <= low {
			all = v.tag
		}
	}
	if all > 0 {
		if err := s.ch.Ack(all, true); err != nil {
			return err
		}
	}
	for _, v := range batch {
		if !v.back && v.tag > low {
			if err := s.ch.Ack(v.tag, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush returns when everything queued before was sent.
func (s *session) flush(ctx context.Context) error {
	sent := make(chan struct{})
	s.mu.Lock()
	if s.dead {
		s.mu.Unlock()
		return nil
	}
	s.idle = append(s.idle, sent)
	s.poke()
	s.mu.Unlock()
	select {
	case <-sent:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the session; what isn't acked goes back to the queue.
func (s *session) close() {
	s.mu.Lock()
	s.dead = true
	close(s.wake)
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	for _, c := range s.idle {
		close(c)
	}
	s.mu.Unlock()
	_ = s.ch.Close() // fails when the connection is gone, which does the same
}

// acker settles one delivery.
type acker struct {
	m   *member
	s   *session
	tag uint64
}

// Ack implements driver.Acker.
func (a *acker) Ack() error {
	<-a.m.room
	return a.s.settle(verdict{tag: a.tag})
}

// Nack implements driver.Acker. The delivery is held here during the delay, so
// that no plugin is needed and the order of the queue is kept. After Stop it stays
// unacked: Detach gives back everything that is, in order.
func (a *acker) Nack(delay time.Duration) error {
	<-a.m.room
	if delay > 0 {
		time.AfterFunc(delay, func() { _ = a.back() })
		return nil
	}
	return a.back()
}

func (a *acker) back() error {
	a.m.mu.Lock()
	alone := a.m.stopped && !a.m.opts.Shared
	a.m.mu.Unlock()
	if alone {
		return nil
	}
	return a.s.settle(verdict{tag: a.tag, back: true})
}

// Touch implements driver.Acker. The broker waits as long as the connection lives.
func (a *acker) Touch() error { return nil }
