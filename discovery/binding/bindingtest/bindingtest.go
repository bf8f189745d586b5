// Package bindingtest proves that a binding.Store keeps its promises. Stores in
// this repository run it, and so does anybody who writes another one:
//
//	func TestConformance(t *testing.T) {
//		bindingtest.Run(t, func(t *testing.T) binding.Store { return mystore.Open(t.Context(), url) })
//	}
//
// A call of open for one test gives a store of its own, empty. A check that
// fails says which rule it is that the store breaks.
package bindingtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/rules"
)

// patience bounds each wait for what must happen.
const patience = 90 * time.Second

// Run runs the suite.
func Run(t *testing.T, open func(t *testing.T) binding.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, binding.Store)
	}{
		{"Empty", testEmpty},
		{"Numbers", testNumbers},
		{"Conflicts", testConflicts},
		{"OneWinner", testOneWinner},
		{"Latest", testLatest},
		{"Contents", testContents},
		{"Removal", testRemoval},
		{"WatchBeginsWithAll", testWatchBeginsWithAll},
		{"WatchSeesEveryWrite", testWatchSeesWrites},
		{"WatchEndsWithItsContext", testWatchEnds},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// revision is one to write.
func revision(service, version string) binding.Revision {
	return binding.Revision{
		Service: service, Binding: &binding.Binding{Service: service, Rest: version},
		Author: "ada", Message: "to " + version, At: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
}

func put(t *testing.T, s binding.Store, r binding.Revision, expect uint64) binding.Revision {
	t.Helper()
	got, err := s.Put(bounded(t), r, expect)
	if err != nil {
		t.Fatalf("Put of %s over revision %d: %v", r.Service, expect, err)
	}
	return got
}

func history(t *testing.T, s binding.Store, service string, limit int) []binding.Revision {
	t.Helper()
	revs, err := s.History(bounded(t), service, limit)
	if err != nil {
		t.Fatalf("History: %v", err)
	}
	return revs
}

func testEmpty(t *testing.T, s binding.Store) {
	all, err := s.Current(bounded(t))
	if err != nil || len(all) != 0 {
		t.Errorf("a new store has nothing: %v, %v", all, err)
	}
	if revs := history(t, s, "orders", 10); len(revs) != 0 {
		t.Errorf("a service that was never bound has no history, and that is no error: %v", revs)
	}
}

func testNumbers(t *testing.T, s binding.Store) {
	for n := range uint64(3) {
		if got := put(t, s, revision("orders", fmt.Sprint("v", n)), n); got.Number != n+1 {
			t.Errorf("a service's revisions count from 1: after %d came %d", n, got.Number)
		}
	}
	if got := put(t, s, revision("menus", "v1"), 0); got.Number != 1 {
		t.Errorf("each service counts by itself: %d", got.Number)
	}
	revs := history(t, s, "orders", 2)
	if len(revs) != 2 || revs[0].Number != 3 || revs[1].Number != 2 {
		t.Errorf("a history has the newest first, and no more than asked for: %v", revs)
	}
	if all := history(t, s, "orders", 1000); len(all) != 3 || all[2].Binding.Rest != "v0" {
		t.Errorf("nothing is forgotten: %v", all)
	}
	all, err := s.Current(bounded(t))
	if err != nil || len(all) != 2 {
		t.Errorf("Current has each service once: %v, %v", all, err)
	}
	for _, r := range all {
		if r.Service == "orders" && r.Number != 3 {
			t.Errorf("Current has the newest: %d", r.Number)
		}
	}
}

func testConflicts(t *testing.T, s binding.Store) {
	put(t, s, revision("orders", "v1"), 0)
	put(t, s, revision("orders", "v2"), 1)
	for _, expect := range []uint64{0, 1, 3} {
		if _, err := s.Put(bounded(t), revision("orders", "v3"), expect); !errors.Is(err, binding.ErrConflict) {
			t.Errorf("who expects revision %d must not overwrite revision 2: %v", expect, err)
		}
	}
	if revs := history(t, s, "orders", 10); len(revs) != 2 {
		t.Errorf("what is refused leaves nothing: %v", revs)
	}
}

func testOneWinner(t *testing.T, s binding.Store) {
	var group sync.WaitGroup
	won := make([]uint64, 8)
	for i := range won {
		group.Go(func() {
			got, err := s.Put(bounded(t), revision("orders", fmt.Sprint("v", i)), 0)
			if err != nil && !errors.Is(err, binding.ErrConflict) {
				t.Errorf("who loses a race is told ErrConflict: %v", err)
			}
			won[i] = got.Number
		})
	}
	group.Wait()
	winners := 0
	for _, n := range won {
		if n != 0 {
			winners++
		}
	}
	if revs := history(t, s, "orders", 10); winners != 1 || len(revs) != 1 {
		t.Errorf("of writers who expect the same one wins: %d did, and %d revisions are kept", winners, len(revs))
	}
}

func testLatest(t *testing.T, s binding.Store) {
	const writers = 6
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			if _, err := s.Put(bounded(t), revision("orders", fmt.Sprint("v", i)), binding.Latest); err != nil {
				t.Errorf("who overwrites whatever there is succeeds: %v", err)
			}
		})
	}
	group.Wait()
	revs := history(t, s, "orders", 100)
	if len(revs) != writers || revs[0].Number != writers {
		t.Errorf("each such write is a revision: %v", revs)
	}
}

func testContents(t *testing.T, s binding.Store) {
	want := revision("orders", "v1")
	want.Message = "Zoë's \"café\"\n日本"
	want.Binding = &binding.Binding{
		Service: "orders", Shares: []binding.Share{{Version: "v2", Percent: 12.3456}, {Version: "v0", Percent: 0}}, Rest: "v1",
		Fallback: "v1", MinHealthy: 2, By: "cookie:session", Salt: "x<&>y", Trust: map[rules.Input]rules.Trust{"cookie:session": rules.TrustClient},
		Rules: []rules.Rule{{ID: "staff", Match: rules.Match{Region: rules.Is("LON", "DUB")}, Route: &rules.Route{Versions: []rules.Version{{Version: "v2", Weight: 1}}}}},
	}
	put(t, s, want, 0)
	got := history(t, s, "orders", 1)[0]
	if !reflect.DeepEqual(got.Binding, want.Binding) || got.Author != want.Author || got.Message != want.Message {
		t.Errorf("a revision comes back as it went in: %+v became %+v", want.Binding, got.Binding)
	}
	if got.At.IsZero() {
		t.Error("a revision says when it was made")
	}
}

func testRemoval(t *testing.T, s binding.Store) {
	put(t, s, revision("orders", "v1"), 0)
	gone := revision("orders", "")
	gone.Binding = nil
	if got := put(t, s, gone, 1); got.Number != 2 {
		t.Errorf("a removal is a revision: %d", got.Number)
	}
	revs := history(t, s, "orders", 10)
	if len(revs) != 2 || revs[0].Binding != nil || revs[1].Binding == nil {
		t.Errorf("the history has the removal and what was removed: %+v", revs)
	}
	if got := put(t, s, revision("orders", "v2"), 2); got.Number != 3 {
		t.Errorf("a service is bound again on top of its removal: %d", got.Number)
	}
}

// watcher notes what a watch tells.
type watcher struct {
	mu     sync.Mutex
	calls  int
	newest map[string]binding.Revision
	broken string
}

func (w *watcher) take(revs []binding.Revision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	for _, r := range revs {
		if r.Number <= w.newest[r.Service].Number {
			w.broken = fmt.Sprintf("%s went from revision %d to %d", r.Service, w.newest[r.Service].Number, r.Number)
		}
		w.newest[r.Service] = r
	}
}

func (w *watcher) until(t *testing.T, rule string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		w.mu.Lock()
		done, broken := ok(), w.broken
		w.mu.Unlock()
		if broken != "" {
			t.Fatalf("a watch tells of each service in order: %s", broken)
		}
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatal(rule)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// watch runs a watch for the length of the test.
func watch(t *testing.T, s binding.Store) *watcher {
	w := &watcher{newest: map[string]binding.Revision{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, w.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ends with its context's error, and not before: %v", err)
		}
	})
	return w
}

func testWatchBeginsWithAll(t *testing.T, s binding.Store) {
	empty := watch(t, s)
	empty.until(t, "a watch of an empty store calls once, with nothing", func() bool { return empty.calls > 0 })
	put(t, s, revision("orders", "v1"), 0)
	put(t, s, revision("orders", "v2"), 1)
	put(t, s, revision("menus", "v1"), 0)
	late := watch(t, s)
	late.until(t, "a watch begins with the newest of all services", func() bool {
		return late.newest["orders"].Number == 2 && late.newest["menus"].Number == 1
	})
}

func testWatchSeesWrites(t *testing.T, s binding.Store) {
	watchers := []*watcher{watch(t, s), watch(t, s)}
	for _, w := range watchers {
		w.until(t, "a watch begins", func() bool { return w.calls > 0 })
	}
	for n := range uint64(7) {
		put(t, s, revision("orders", fmt.Sprint("v", n)), n)
		for _, w := range watchers {
			w.until(t, "a write is told", func() bool { return w.newest["orders"].Number == n+1 })
		}
	}
}

func testWatchEnds(t *testing.T, s binding.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{newest: map[string]binding.Revision{}}
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, w.take) }()
	w.until(t, "a watch begins", func() bool { return w.calls > 0 })
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a watch whose context has ended returns the context's error: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a watch ends soon after its context")
	}
	before := w.calls
	put(t, s, revision("orders", "v1"), 0)
	if w.calls != before {
		t.Error("after Watch has returned its function is left alone")
	}
}
