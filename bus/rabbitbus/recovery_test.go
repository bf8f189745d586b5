package rabbitbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus"
)

// log collects what handlers saw, and lets a test wait for it.
type log struct {
	mu     sync.Mutex
	lines  []string
	change chan struct{}
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if l.change != nil {
		close(l.change)
		l.change = nil
	}
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// until waits for the condition to hold of what was seen.
func (l *log) until(t *testing.T, rule string, ok func([]string) bool) []string {
	t.Helper()
	over := time.NewTimer(enough)
	defer over.Stop()
	for {
		l.mu.Lock()
		if ok(l.lines) {
			defer l.mu.Unlock()
			return slices.Clone(l.lines)
		}
		if l.change == nil {
			l.change = make(chan struct{})
		}
		change := l.change
		l.mu.Unlock()
		select {
		case <-change:
		case <-over.C:
			lines := l.all()
			t.Fatalf("%s: saw %d lines, the last are %v", rule, len(lines), lines[max(0, len(lines)-5):])
		}
	}
}

func (l *log) broadcast() bus.BroadcastHandler {
	return bus.BroadcastHandler{
		Event: func(e bus.Event) { l.add(e.ID) },
		State: func(s bus.State) {
			s.Reason = nil
			l.add(s.String())
		},
	}
}

func (l *log) handle(_ context.Context, d *bus.Delivery) error {
	l.add(d.Event.ID)
	return nil
}

func event(i int) bus.Event { return bus.Event{ID: strconv.Itoa(i), Type: "t", Subject: "k"} }

func has(want string) func([]string) bool {
	return func(lines []string) bool { return slices.Contains(lines, want) }
}

func must(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestNothingPublishedIsLostWhenConnectionsAreCut(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, p.addr())
	var got log
	_, err := s.bus(t, Options{}, p.addr()).Group(soon(t), "t", "g", got.handle, nil)
	must(t, err, "Group")
	const n = 400
	for i := range n {
		if i%100 == 50 {
			p.cut(false)
		}
		must(t, b.Publish(soon(t), "t", event(i)), "Publish over a cut connection")
	}
	got.until(t, "the last event arrives", has(strconv.Itoa(n-1)))
	inOrder(t, got.all(), n)
}

func TestGroupGoesOnInOrderAfterCut(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, "")
	var got log
	first := make(chan struct{})
	var once sync.Once
	_, err := s.bus(t, Options{}, p.addr()).Group(soon(t), "t", "g", func(ctx context.Context, d *bus.Delivery) error {
		once.Do(func() {
			<-first // hundreds are held here when the connection goes
		})
		return got.handle(ctx, d)
	}, &bus.GroupOptions{MaxInFlight: 500})
	must(t, err, "Group")
	events := make([]bus.Event, 1000)
	for i := range events {
		events[i] = event(i)
	}
	must(t, b.Publish(soon(t), "t", events...), "Publish")
	p.cut(false)
	close(first)
	got.until(t, "the last event arrives", has("999"))
	next := 0
	for _, id := range got.all() {
		if i, _ := strconv.Atoi(id); i == next {
			next++
		}
	}
	if next != len(events) {
		t.Errorf("after the cut the order of the key must hold, apart from repeats: it does up to %d of %d", next, len(events))
	}
}

func TestMemberThatDiesGivesBackInOrder(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, "")
	dying := s.open(t, Options{}, p.addr())
	stuck := make(chan struct{})
	var once sync.Once
	_, err := dying.Group(soon(t), "t", "g", func(ctx context.Context, _ *bus.Delivery) error {
		once.Do(func() { close(stuck) })
		<-ctx.Done()
		return ctx.Err()
	}, &bus.GroupOptions{MaxInFlight: 300})
	must(t, err, "Group")
	events := make([]bus.Event, 600)
	for i := range events {
		events[i] = event(i)
	}
	must(t, b.Publish(soon(t), "t", events...), "Publish")
	<-stuck
	var got log
	_, err = s.bus(t, Options{}, "").Group(soon(t), "t", "g", got.handle, &bus.GroupOptions{MaxInFlight: 300})
	must(t, err, "Group")
	p.cut(true) // the process is gone
	got.until(t, "the next member gets everything", has("599"))
	for i, id := range got.all() {
		if id != strconv.Itoa(i) {
			t.Fatalf("what a dead member held must come first and in order: event %s came as number %d", id, i)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = dying.Shutdown(ctx) // it can't drain
}

func TestBroadcastSaysWhenItMayHaveMissedSomething(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, "")
	var got log
	_, err := s.bus(t, Options{}, p.addr()).Broadcast(soon(t), "t", got.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(soon(t), "t", event(0)), "Publish")
	got.until(t, "an event arrives", has("0"))
	p.cut(true)
	got.until(t, "the cut is noticed", has("lost"))
	must(t, b.Publish(soon(t), "t", event(1)), "Publish")
	p.heal()
	got.until(t, "it comes back by itself", has("resumed with a hole"))
	must(t, b.Publish(soon(t), "t", event(2)), "Publish")
	lines := got.until(t, "events come again", has("2"))
	if want := []string{"live", "0", "lost", "resumed with a hole", "2"}; !slices.Equal(lines, want) {
		t.Errorf("states and events must come in this order: %q, got %q", want, lines)
	}
}

func TestBrokerThatFallsSilentIsNoticed(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, "")
	var got log
	_, err := s.bus(t, Options{Heartbeat: time.Second}, p.addr()).Broadcast(soon(t), "t", got.broadcast(), nil)
	must(t, err, "Broadcast")
	p.silence() // nothing is closed, nothing comes
	got.until(t, "silence is noticed by missing heartbeats", has("lost"))
	p.heal()
	p.cut(false)
	got.until(t, "it comes back by itself", has("resumed with a hole"))
	must(t, b.Publish(soon(t), "t", event(1)), "Publish")
	got.until(t, "events come again", has("1"))
}

func TestQueueDeletedUnderItsConsumer(t *testing.T) {
	s := newSpace(t)
	b, c := s.driver(t, Options{}, "")
	t.Cleanup(func() { _ = b.Shutdown(soon(t)) })
	var got log
	_, err := b.Group(soon(t), "t", "g", got.handle, nil)
	must(t, err, "Group")
	must(t, c.do(soon(t), c.out, func(ch channel) error {
		_, err := ch.QueueDelete(c.names.queue("t", "g"), false, false, false)
		return err
	}), "delete the queue")
	// What is published before the member has noticed is gone with the queue.
	over := soon(t)
	for i := 0; len(got.all()) == 0; i++ {
		if over.Err() != nil {
			t.Fatal("a member whose queue was deleted must make it again and go on")
		}
		must(t, b.Publish(soon(t), "t", event(i)), "Publish")
	}
}

func TestWithheldConfirmationsAreFailuresInTime(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{Heartbeat: 20 * time.Second, ConfirmTimeout: 300 * time.Millisecond}, p.addr())
	confirmed := func(i int) { // in time, for which a busy broker may need more than one attempt
		t.Helper()
		for over := soon(t); ; {
			err := b.Publish(over, "t", event(i))
			if err == nil {
				return
			}
			if over.Err() != nil {
				t.Fatalf("Publish while the broker speaks: %v", err)
			}
		}
	}
	confirmed(0)
	p.silence()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := b.Publish(ctx, "t", event(1))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > enough/4 {
		t.Errorf("Publish must not block past its context: %v after %v", err, time.Since(began))
	}
	failed := make(chan error, 1)
	must(t, b.PublishAsync(soon(t), "t", event(2), func(err error) { failed <- err }), "PublishAsync")
	select {
	case err := <-failed:
		if err == nil {
			t.Error("without a confirmation an event isn't safe")
		}
	case <-soon(t).Done():
		t.Error("an event that is never confirmed must fail after ConfirmTimeout")
	}
	p.heal()
	confirmed(3) // the broker speaks again
}

func TestPublishWhileTheBrokerIsAway(t *testing.T) {
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, p.addr())
	p.cut(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.Publish(ctx, "t", event(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a broker Publish must fail when its context ends: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Publish(soon(t), "t", event(1)) }()
	p.heal()
	must(t, <-done, "Publish while the broker comes back")
}

func TestRequestsWhenConnectionsAreCut(t *testing.T) {
	s, near, far := newSpace(t), newProxy(t), newProxy(t)
	caller := s.bus(t, Options{}, near.addr())
	entered, over := make(chan struct{}, 10), make(chan struct{})
	defer close(over) // nobody is left to cancel them
	serving := s.bus(t, Options{}, far.addr())
	_, err := serving.Serve(soon(t), "s", "g", func(ctx context.Context, e bus.Event) (bus.Event, error) {
		if e.Subject == "wait" {
			entered <- struct{}{}
			select {
			case <-ctx.Done():
			case <-over:
			}
		}
		return e, nil
	}, nil)
	must(t, err, "Serve")
	_, err = s.bus(t, Options{}, "").Serve(soon(t), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) {
		e.Subject = "other"
		return e, nil
	}, nil)
	must(t, err, "Serve")
	for what, p := range map[string]*proxy{"caller's": near, "server's": far} {
		failed := make(chan error, 1)
		go func() {
			for { // until the server that waits is asked
				ctx, cancel := context.WithTimeout(t.Context(), enough)
				_, err := caller.Request(ctx, "s", bus.Event{Type: "t", Subject: "wait"})
				cancel()
				if err != nil {
					failed <- err
					return
				}
			}
		}()
		<-entered
		p.cut(false)
		if err := <-failed; errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when the %s connection is cut a request under way must fail, and not by its deadline: %v", what, err)
		}
		for attempt := 0; ; attempt++ {
			if _, err = caller.Request(soon(t), "s", bus.Event{Type: "t"}); err == nil {
				break
			}
			if attempt == 10 {
				t.Fatalf("after the %s connection was cut requests must work again: %v", what, err)
			}
		}
	}
}

func TestSharedGroupWorksInParallel(t *testing.T) {
	s := newSpace(t)
	b := s.bus(t, Options{}, "")
	both := make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	seen := make(map[int]bool)
	for i := range 2 {
		_, err := s.bus(t, Options{}, "").Group(soon(t), "t", "g", func(context.Context, *bus.Delivery) error {
			mu.Lock()
			seen[i] = true
			if len(seen) == 2 {
				once.Do(func() { close(both) })
			}
			mu.Unlock()
			<-both
			return nil
		}, &bus.GroupOptions{Shared: true, MaxInFlight: 2})
		must(t, err, "Group")
	}
	for i := range 8 {
		must(t, b.Publish(soon(t), "t", bus.Event{ID: fmt.Sprint(i), Type: "t"}), "Publish")
	}
	select {
	case <-both:
	case <-soon(t).Done():
		once.Do(func() { close(both) })
		t.Error("with Shared two processes work on a topic at the same time")
	}
	if _, err := b.Group(soon(t), "t", "g", func(context.Context, *bus.Delivery) error { return nil }, nil); err == nil {
		t.Error("a member that wants to work alone must not join a shared queue without a word")
	} else if _, ok := errors.AsType[*amqp.Error](err); !ok {
		t.Errorf("the broker's own error must be reachable: %v", err)
	}
}

// TestCutForTenSeconds is longer than heartbeats and several attempts to connect.
func TestCutForTenSeconds(t *testing.T) {
	t.Parallel()
	s, p := newSpace(t), newProxy(t)
	from, to := s.bus(t, Options{}, p.addr()), s.bus(t, Options{}, p.addr())
	var one, all log
	_, err := to.Group(soon(t), "t", "g", one.handle, nil)
	must(t, err, "Group")
	_, err = to.Broadcast(soon(t), "t", all.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, from.Publish(soon(t), "t", event(0)), "Publish")
	one.until(t, "an event arrives", has("0"))
	p.cut(true)
	all.until(t, "the cut is noticed", has("lost"))
	done := make(chan error, 1)
	go func() { done <- from.Publish(soon(t), "t", event(1)) }()
	<-time.After(10 * time.Second)
	p.heal()
	must(t, <-done, "Publish that began during the cut")
	all.until(t, "the broadcast comes back", has("resumed with a hole"))
	must(t, from.Publish(soon(t), "t", event(2)), "Publish after the cut")
	one.until(t, "the group goes on", has("2"))
	all.until(t, "the broadcast goes on", has("2"))
	inOrder(t, one.all(), 3)
}

// TestMemberThatFallsSilentIsReplaced is what AckWait is for elsewhere: a process
// that holds events and says nothing any more, neither that it is gone.
func TestMemberThatFallsSilentIsReplaced(t *testing.T) {
	t.Parallel()
	s, p := newSpace(t), newProxy(t)
	b := s.bus(t, Options{}, "")
	silent := s.open(t, Options{Heartbeat: time.Second}, p.addr())
	stuck := make(chan struct{})
	var once sync.Once
	_, err := silent.Group(soon(t), "t", "g", func(ctx context.Context, _ *bus.Delivery) error {
		once.Do(func() { close(stuck) })
		<-ctx.Done()
		return ctx.Err()
	}, nil)
	must(t, err, "Group")
	for i := range 20 {
		must(t, b.Publish(soon(t), "t", event(i)), "Publish")
	}
	<-stuck
	var got log
	_, err = s.bus(t, Options{}, "").Group(soon(t), "t", "g", got.handle, nil)
	must(t, err, "Group")
	p.freeze()
	got.until(t, "the next member gets what the silent one held", has("19"))
	inOrder(t, got.all(), 20)
	p.cut(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = silent.Shutdown(ctx) // it can't drain
}
