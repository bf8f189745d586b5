package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

func testWatchBeginsWithAll(t *testing.T, s *suite) {
	d, service := s.driver(t), name("begins")
	empty := s.watch(t, d, service)
	empty.becomes(s.ctx(t), t, "a watch of an empty service begins with nothing, and says so")
	must(t, d.Put(s.ctx(t), record(service, "a", "o", "1")), "Put")
	must(t, d.Put(s.ctx(t), record(service, "b", "o", "1")), "Put")
	must(t, d.Put(s.ctx(t), record(service, "b", "o", "2")), "Put")
	must(t, d.Put(s.ctx(t), record(service, "c", "o", "1")), "Put")
	must(t, d.Delete(s.ctx(t), instance(service, "c"), "o"), "Delete")
	late := s.watch(t, s.driver(t), service)
	late.until(s.ctx(t), t, "a watch begins with one Reset", func() bool { return late.resets == 1 })
	late.becomes(s.ctx(t), t, "the Reset has what lives now", "a=1", "b=2")
	must(t, d.Put(s.ctx(t), record(service, "d", "o", "1")), "Put")
	late.becomes(s.ctx(t), t, "what comes later comes later", "a=1", "b=2", "d=1")
	late.mu.Lock()
	defer late.mu.Unlock()
	if !slices.Equal(late.history, []string{"d=1"}) {
		t.Errorf("what was there before is in the Reset, not behind it: %q", late.history)
	}
}

func testWatchSeesChanges(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("changes")
	sink := s.watch(t, there, service)
	sink.becomes(s.ctx(t), t, "nothing at first")
	must(t, here.Put(s.ctx(t), record(service, "a", "o", "1")), "Put")
	sink.becomes(s.ctx(t), t, "a new record is seen", "a=1")
	must(t, here.Put(s.ctx(t), record(service, "b", "o", "1")), "Put")
	must(t, here.Put(s.ctx(t), record(service, "a", "o", "2")), "Put")
	sink.becomes(s.ctx(t), t, "a replaced record is seen", "a=2", "b=1")
	must(t, here.Delete(s.ctx(t), instance(service, "a"), "o"), "Delete")
	sink.becomes(s.ctx(t), t, "a deleted record is seen", "b=1")
	must(t, here.Put(s.ctx(t), record(service, "a", "another", "3")), "Put")
	sink.becomes(s.ctx(t), t, "one that comes back too", "a=3", "b=1")
}

func testWatchKeepsOrder(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("order")
	sink := s.watch(t, there, service)
	sink.becomes(s.ctx(t), t, "nothing at first")
	const n = 200
	for i := range n {
		must(t, here.Put(s.ctx(t), record(service, "a", "o", strconv.Itoa(i))), "Put")
	}
	sink.becomes(s.ctx(t), t, "the last state arrives", fmt.Sprintf("a=%d", n-1))
	sink.mu.Lock()
	defer sink.mu.Unlock()
	last := -1
	for _, h := range sink.history {
		i, err := strconv.Atoi(strings.TrimPrefix(h, "a="))
		if err != nil || i <= last {
			t.Fatalf("a key's changes come in order: %s after %d", h, last)
		}
		last = i
	}
}

func testWatchOfAllServices(t *testing.T, s *suite) {
	d, one, two := s.driver(t), name("one"), name("two")
	must(t, d.Put(s.ctx(t), record(one, "a", "o", "1")), "Put")
	all, single := s.watch(t, d, ""), s.watch(t, d, two)
	has := func(service string) func() bool {
		return func() bool { return all.state[instance(service, "a")] != nil }
	}
	all.until(s.ctx(t), t, "a watch of all services begins with every service's records", has(one))
	single.becomes(s.ctx(t), t, "that of another service with its own")
	must(t, d.Put(s.ctx(t), record(two, "a", "o", "2")), "Put")
	must(t, d.Put(s.ctx(t), record(one, "b", "o", "2")), "Put")
	all.until(s.ctx(t), t, "it sees services that are new", has(two))
	single.becomes(s.ctx(t), t, "a watch of one service sees its changes only", "a=2")
	list, err := d.List(s.ctx(t), "")
	must(t, err, "List")
	found := 0
	for _, r := range list {
		if r.Key.Service == one || r.Key.Service == two {
			found++
		}
	}
	if found != 3 {
		t.Errorf("List without a service has all services' records: %d of 3", found)
	}
}

func testWatchSeesEndOfLease(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("expires")
	sink := s.watch(t, there, service)
	sink.becomes(s.ctx(t), t, "nothing at first")
	must(t, here.Put(s.ctx(t), record(service, "b", "o", "1")), "Put")
	must(t, here.Put(s.ctx(t), s.short(service, "a")), "Put")
	late := s.watch(t, there, service) // it may not even see the record
	sink.until(s.ctx(t), t, "who watches sees that a lease has ended, within another TTL", func() bool {
		return slices.Contains(sink.history, "a=1") && slices.Contains(sink.history, "a deleted")
	})
	for _, w := range []*seen{sink, late} {
		w.becomes(s.ctx(t), t, "others stay", "b=1")
	}
}

func testWatchIsCurrent(t *testing.T, s *suite) {
	service := name("current")
	sink := s.watch(t, s.driver(t), service)
	sink.until(s.ctx(t), t, "a quiet watch says at least every ten seconds that it misses nothing", func() bool { return sink.current > 0 })
}

func testWatchEndsWithItsContext(t *testing.T, s *suite) {
	d, service := s.driver(t), name("cancel")
	ctx, cancel := context.WithCancel(t.Context())
	sink, ended := newSeen(), make(chan error, 1)
	go func() { ended <- d.Watch(ctx, service, sink) }()
	sink.becomes(s.ctx(t), t, "it runs")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a Watch whose context has ended returns the context's error: %v", err)
		}
	case <-time.After(s.patience):
		t.Fatal("a Watch ends soon after its context")
	}
	must(t, d.Put(s.ctx(t), record(service, "a", "o", "1")), "Put")
	must(t, d.Delete(s.ctx(t), instance(service, "a"), ""), "Delete")
	if len(sink.history) != 0 {
		t.Errorf("after Watch has returned the sink is left alone: %q", sink.history)
	}
}

func testCancelledCalls(t *testing.T, s *suite) {
	d, service := s.driver(t), name("cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, call := range map[string]func() error{
		"Put":    func() error { return d.Put(ctx, record(service, "a", "o", "1")) },
		"Renew":  func() error { return d.Renew(ctx, instance(service, "a"), "o") },
		"Delete": func() error { return d.Delete(ctx, instance(service, "a"), "o") },
		"List":   func() error { _, err := d.List(ctx, service); return err },
		"Watch":  func() error { return d.Watch(ctx, service, newSeen()) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended returns its error: %v", what, err)
		}
	}
}

func testManyInstances(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("many")
	const n = 300
	sink := s.watch(t, there, service)
	for i := range n {
		must(t, here.Put(s.ctx(t), record(service, fmt.Sprintf("i%03d", i), "o", "1")), "Put")
	}
	sink.until(s.ctx(t), t, "a large fleet is seen whole", func() bool { return len(sink.state) == n })
	late := s.watch(t, there, service)
	late.until(s.ctx(t), t, "also by who comes later, at once", func() bool { return late.resets == 1 && len(late.state) == n })
	all, err := there.List(s.ctx(t), service)
	must(t, err, "List")
	if len(all) != n {
		t.Errorf("List has the whole fleet: %d of %d", len(all), n)
	}
	for i := range n {
		must(t, here.Delete(s.ctx(t), driver.Key{Kind: driver.Instances, Service: service, ID: fmt.Sprintf("i%03d", i)}, "o"), "Delete")
	}
	sink.becomes(s.ctx(t), t, "and that it has gone")
}
