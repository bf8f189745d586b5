package bustest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// Open connects another bus to the broker under test.
type Open = func(t *testing.T, opts bus.Options) *bus.Bus

// Features says what the driver can and how the suite may reach around it.
type Features struct {
	// Requests says that the driver implements driver.Requester.
	Requests bool
	// Streams says that the driver implements driver.Streamer.
	Streams bool
	// CancelsServer says that a server sees its caller's cancel.
	CancelsServer bool
	// DeletesGroups says that the driver implements driver.GroupDeleter.
	DeletesGroups bool
	// NoGroups says that nothing is kept for groups, so that they answer
	// errors.ErrUnsupported; the level of durability is driver.Fleeting then.
	NoGroups bool
	// Inject publishes a body past the bus, as a foreign program would; nil leaves
	// out the checks of garbage.
	Inject func(t *testing.T, topic string, body []byte)
	// Wait bounds each wait for something that must happen. Default 1 min: a machine
	// that has much else to do is no reason to fail.
	Wait time.Duration
}

// Run runs the suite.
func Run(t *testing.T, open Open, f Features) {
	t.Helper()
	if f.Wait <= 0 {
		f.Wait = time.Minute
	}
	s := &suite{open: open, f: f}
	for _, check := range []struct {
		name string
		run  func(*testing.T, *suite)
		when bool
	}{
		{"Publish", testPublish, true},
		{"PublishAsync", testPublishAsync, true},
		{"RoundTrip", testRoundTrip, true},
		{"BroadcastOrder", testBroadcastOrder, true},
		{"BroadcastFromNowOn", testBroadcastFromNowOn, true},
		{"BroadcastPanic", testBroadcastPanic, true},
		{"TopicsApart", testTopicsApart, true},
		{"ClockSetBack", testClockSetBack, true},
		{"GroupOnce", testGroupOnce, !f.NoGroups},
		{"GroupDurable", testGroupDurable, !f.NoGroups},
		{"GroupsApart", testGroupsApart, !f.NoGroups},
		{"OrderPerKey", testOrderPerKey, !f.NoGroups},
		{"KeysInParallel", testKeysInParallel, !f.NoGroups},
		{"Failover", testFailover, !f.NoGroups},
		{"MaxInFlight", testMaxInFlight, !f.NoGroups},
		{"Retry", testRetry, !f.NoGroups},
		{"AckWaitExtended", testAckWaitExtended, !f.NoGroups},
		{"DeadLetter", testDeadLetter, !f.NoGroups},
		{"Redrive", testRedrive, !f.NoGroups},
		{"NoGroups", testNoGroups, f.NoGroups},
		{"Backlog", testBacklog, !f.NoGroups},
		{"DeleteGroup", testDeleteGroup, f.DeletesGroups},
		{"CloseDrains", testCloseDrains, !f.NoGroups},
		{"Shutdown", testShutdown, true},
		{"Oversized", testOversized, true},
		{"Garbage", testGarbage, f.Inject != nil},
		{"Request", testRequest, f.Requests},
		{"RequestDeadline", testRequestDeadline, f.Requests},
		{"RequestCancel", testRequestCancel, f.Requests && f.CancelsServer},
		{"Questions", testQuestions, f.Requests},
		{"QuestionCancel", testQuestionCancel, f.Requests && f.CancelsServer},
		{"NoResponders", testNoResponders, f.Requests},
		{"Servers", testServers, f.Requests},
		{"Stream", testStream, f.Streams},
		{"StreamBounds", testStreamBounds, f.Streams},
		{"StreamBroadcast", testStreamBroadcast, f.Streams},
	} {
		t.Run(check.name, func(t *testing.T) {
			if !check.when {
				t.Skipf("the driver doesn't claim %s", check.name)
			}
			t.Parallel()
			check.run(t, s)
		})
	}
}

type suite struct {
	open Open
	f    Features
}

// bus connects another bus and shuts it down with the test.
func (s *suite) bus(t *testing.T) *bus.Bus {
	t.Helper()
	return s.busWith(t, bus.Options{})
}

func (s *suite) busWith(t *testing.T, opts bus.Options) *bus.Bus {
	t.Helper()
	b := s.open(t, opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.f.Wait)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown at the end of the test: %v", err)
		}
	})
	return b
}

// name returns a topic or group that nobody used before.
func name(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:12]) }

// ctx returns a context with the suite's patience.
func (s *suite) ctx(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.f.Wait)
	t.Cleanup(cancel)
	return ctx
}

// until waits for the condition, which is asked whenever note was called.
type until struct {
	mu      sync.Mutex
	changed chan struct{}
}

func (u *until) note(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// wait reports whether the condition came true in time.
func (u *until) wait(ctx context.Context, condition func() bool) bool {
	for {
		u.mu.Lock()
		if condition() {
			u.mu.Unlock()
			return true
		}
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed := u.changed
		u.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// never gives the bus a moment to do what it mustn't.
func (u *until) never(t *testing.T, condition func() bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	return !u.wait(ctx, condition)
}

// events collects what handlers get.
type events struct {
	until
	got    []bus.Event
	states []bus.State
}

func (c *events) broadcast() bus.BroadcastHandler {
	return bus.BroadcastHandler{
		Event: func(e bus.Event) { c.note(func() { c.got = append(c.got, e) }) },
		State: func(s bus.State) { c.note(func() { c.states = append(c.states, s) }) },
	}
}

func (c *events) handle(_ context.Context, d *bus.Delivery) error {
	c.note(func() { c.got = append(c.got, d.Event) })
	return nil
}

// atLeast waits for n events.
func (c *events) atLeast(t *testing.T, s *suite, n int, rule string) []bus.Event {
	t.Helper()
	if !c.wait(s.ctx(t), func() bool { return len(c.got) >= n }) {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("%s: got %d events of %d in %v", rule, len(c.got), n, s.f.Wait)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]bus.Event(nil), c.got...)
}

// exactly waits for n events and then sees that no further one comes.
func (c *events) exactly(t *testing.T, s *suite, n int, rule string) []bus.Event {
	t.Helper()
	c.atLeast(t, s, n, rule)
	if !c.never(t, func() bool { return len(c.got) > n }) {
		t.Fatalf("%s: got %d events instead of %d", rule, len(c.got), n)
	}
	return c.got
}

func must(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func subjects(events []bus.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.Subject
	}
	return out
}
