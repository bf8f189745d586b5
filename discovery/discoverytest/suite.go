package discoverytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// Features say what the suite should know about a driver. The zero value is
// fine.
type Features struct {
	// TTL is the lease that the tests wait to end, and keep alive meanwhile although
	// the machine may have much else to do. Default 3 s, at least what the driver
	// says it can keep.
	TTL time.Duration
	// Patience bounds each wait for what must happen. Default 90 s.
	Patience time.Duration
}

// suite is what a test has at hand.
type suite struct {
	open     func(t *testing.T) driver.Driver
	ttl      time.Duration
	patience time.Duration
}

// Run runs the suite. It may be called from a test that runs in parallel to
// others.
func Run(t *testing.T, open func(t *testing.T) driver.Driver, features Features) {
	s := &suite{open: open, ttl: features.TTL, patience: features.Patience}
	if s.patience <= 0 {
		s.patience = 90 * time.Second
	}
	if s.ttl <= 0 {
		s.ttl = 3 * time.Second
	}
	s.ttl = max(s.ttl, s.driver(t).Info().MinTTL)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"PutAndDelete", testPutAndDelete},
		{"ValuesAreOpaque", testValues},
		{"ServicesApart", testServicesApart},
		{"KindsApart", testKindsApart},
		{"OwnerReplaces", testOwnerReplaces},
		{"OthersDoNot", testOthersDoNot},
		{"OneWinner", testOneWinner},
		{"AnybodyRemoves", testAnybodyRemoves},
		{"LeaseEnds", testLeaseEnds},
		{"LeaseIsRenewed", testLeaseIsRenewed},
		{"LeaseOutlivesItsConnection", testLeaseOutlivesItsConnection},
		{"RenewalThroughAnother", testRenewalThroughAnother},
		{"PutRestartsTheLease", testPutRestartsTheLease},
		{"NameIsFreeAgain", testNameIsFreeAgain},
		{"WatchBeginsWithAll", testWatchBeginsWithAll},
		{"WatchSeesChanges", testWatchSeesChanges},
		{"WatchKeepsOrder", testWatchKeepsOrder},
		{"WatchOfAllServices", testWatchOfAllServices},
		{"WatchSeesEndOfLease", testWatchSeesEndOfLease},
		{"WatchIsCurrent", testWatchIsCurrent},
		{"WatchEndsWithItsContext", testWatchEndsWithItsContext},
		{"CancelledCalls", testCancelledCalls},
		{"ManyInstances", testManyInstances},
		{"Registry", testRegistry},
		{"RegistryUpdates", testRegistryUpdates},
		{"RegistrySigned", testRegistrySigned},
		{"RegistryRegistersAgain", testRegistryRegistersAgain},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, s)
		})
	}
}

// driver opens a connection that is closed at the end of the test.
func (s *suite) driver(t *testing.T) driver.Driver {
	d := s.open(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.patience)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// ctx is bounded by the suite's patience.
func (s *suite) ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	t.Cleanup(cancel)
	return ctx
}

// name makes a service's name that nobody else uses.
func name(prefix string) string {
	return prefix + "-" + strings.ToLower(rand.Text()[:12])
}

func instance(service, id string) driver.Key {
	return driver.Key{Kind: driver.Instances, Service: service, ID: id}
}

// record is a record whose lease doesn't end during a test.
func record(service, id, owner, value string) driver.Record {
	return driver.Record{Key: instance(service, id), Owner: owner, Value: []byte(`{"value":"` + value + `"}`), TTL: time.Minute}
}

func must(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// refused checks that an error is the one that the contract names.
func refused(t *testing.T, rule string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: want %q, got %v", rule, want, err)
	}
}

// lists checks what List returns, in any order.
func (s *suite) lists(t *testing.T, d driver.Driver, service, rule string, want ...string) {
	t.Helper()
	got, err := listed(s.ctx(t), d, service)
	must(t, err, "List")
	if !slices.Equal(got, want) {
		t.Errorf("%s: want %q, got %q", rule, want, got)
	}
}

// listed is what List returns, in short and in order.
func listed(ctx context.Context, d driver.Driver, service string) ([]string, error) {
	all, err := d.List(ctx, service)
	got := make([]string, 0, len(all))
	for _, r := range all {
		got = append(got, text(r))
	}
	slices.Sort(got)
	return got, err
}

// text is a record in short: id=value.
func text(r driver.Record) string {
	v := strings.TrimSuffix(strings.TrimPrefix(string(r.Value), `{"value":"`), `"}`)
	return r.Key.ID + "=" + v
}

// seen is a sink that keeps the state, and what led to it.
type seen struct {
	mu      sync.Mutex
	resets  int
	state   map[driver.Key][]byte
	history []string
	current int
	changed chan struct{} // closed at each change
}

func newSeen() *seen { return &seen{changed: make(chan struct{})} }

func (s *seen) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Reset implements [driver.Sink].
func (s *seen) Reset(records []driver.Record) {
	s.note(func() {
		s.resets++
		s.state = make(map[driver.Key][]byte)
		for _, r := range records {
			s.state[r.Key] = r.Value
		}
	})
}

// Put implements [driver.Sink].
func (s *seen) Put(r driver.Record) {
	s.note(func() {
		if !bytes.Equal(s.state[r.Key], r.Value) { // a renewal is no news
			s.history = append(s.history, text(r))
		}
		s.state[r.Key] = r.Value
	})
}

// Delete implements [driver.Sink].
func (s *seen) Delete(key driver.Key) {
	s.note(func() {
		if _, ok := s.state[key]; ok {
			s.history = append(s.history, key.ID+" deleted")
		}
		delete(s.state, key)
	})
}

// Current implements [driver.Sink].
func (s *seen) Current() { s.note(func() { s.current++ }) }

// list is the state in short.
func (s *seen) list() []string {
	got := make([]string, 0, len(s.state))
	for key, value := range s.state {
		got = append(got, text(driver.Record{Key: key, Value: value}))
	}
	slices.Sort(got)
	return got
}

// until waits until the condition holds.
func (s *seen) until(ctx context.Context, t *testing.T, rule string, holds func() bool) {
	t.Helper()
	for {
		s.mu.Lock()
		ok, changed, list, history := holds(), s.changed, s.list(), fmt.Sprint(s.history[max(0, len(s.history)-20):])
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: the watch knows %q, after %s", rule, list, history)
		}
	}
}

// becomes waits until the watch knows exactly these.
func (s *seen) becomes(ctx context.Context, t *testing.T, rule string, want ...string) {
	t.Helper()
	s.until(ctx, t, rule, func() bool { return s.state != nil && slices.Equal(s.list(), want) })
}

// watch runs a Watch for the length of the test.
func (s *suite) watch(t *testing.T, d driver.Driver, service string) *seen {
	sink := newSeen()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Watch(ctx, service, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ends with its context's error, and not before: %v", err)
		}
	})
	return sink
}

// pause waits for a while that can't be an event.
func pause(d time.Duration) { <-time.After(d) }
