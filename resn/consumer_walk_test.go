package resn_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// A change that happens while the walk has the old state in its hands.
func TestFillNeverOverwritesWhatANoticeBrought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		c := newCity(t, broker.Connect(nil), 5)
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		took, goOn := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		c.before = func(ctx context.Context, p string) {
			if p == path(1) && once.CompareAndSwap(false, true) {
				close(took)
				select {
				case <-goOn:
				case <-ctx.Done():
				}
			}
		}
		h := newHeld()
		p := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList})
		<-took // version 1 is on its way to the walk
		c.change(t, resn.Update, 1)
		c.change(t, resn.Update, 4) // the walk isn't there yet
		time.Sleep(time.Second)
		close(goOn)
		await(t, p.consumer.Filled(), "the first fill")
		time.Sleep(time.Second)
		wantEqual(t, c, h, "a notice during the fill is neither lost nor overwritten by the older state")
	})
}

// While the walk is at one page, a member of an earlier page is deleted: what was
// to come moves to a page that was read already.
func TestFillFindsWhatMovedBetweenPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		c := newCity(t, broker.Connect(nil), 9)
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		var once sync.Once
		c.before = func(_ context.Context, p string) {
			if p == path(2) { // the last of the first page
				once.Do(func() { c.change(t, resn.Delete, 0) })
			}
		}
		h := newHeld()
		var last resn.Progress
		p := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, OnProgress: func(r resn.Progress) { last = r }})
		await(t, p.consumer.Filled(), "the first fill")
		wantEqual(t, c, h, "a member that moved to a page which was read already is found")
		if last.Pass != 2 {
			t.Errorf("a walk during which something was deleted is repeated once: %+v", last)
		}
	})
}

func TestFillGoesOnAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		c := newCity(t, broker.Connect(nil), 12)
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		store, h := newStore(), newHeld()
		started := make(chan *process, 1)
		reached := make(chan struct{})
		h.fail = func(change *resn.Change) error {
			if change.Href == at(7) { // on the third page
				close(reached)
				(<-started).faults.Cut()
				return bus.RetryAfter(time.Hour, nil)
			}
			return nil
		}
		p := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, Checkpoint: store})
		started <- p
		<-reached
		p.kill()
		h.mu.Lock()
		h.fail = nil
		h.mu.Unlock()
		first := c.count(path(0))
		c.change(t, resn.Update, 2)
		again := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, Checkpoint: store})
		await(t, again.consumer.Filled(), "the fill")
		time.Sleep(3 * time.Second)
		wantEqual(t, c, h, "the next process ends the fill that the killed one began")
		if n := c.count(path(0)); n != first {
			t.Errorf("it goes on with the page at which the other one was: the first page was walked %d times more", n-first)
		}
	})
}

func TestFillLeavesOutWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		c := newCity(t, broker.Connect(nil), 5)
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		c.status = func(p string) int {
			if p == path(3) {
				return 403
			}
			return 0
		}
		h := newHeld()
		rejected := map[string]string{}
		p := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, MaxAttempts: 3,
			OnRejected: func(href string, err error) { rejected[href] = err.Error() }})
		await(t, p.consumer.Filled(), "the first fill")
		synctest.Wait()
		if d := cmp.Diff(map[string]string{at(3): "resn: " + at(3) + " answered 403 Forbidden"}, rejected); d != "" {
			t.Errorf("a walk ends, and says what it left out and why (-want +got):\n%s", d)
		}
		c.mu.Lock()
		c.status = nil
		c.mu.Unlock()
		if err := p.consumer.Resync(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantEqual(t, c, h, "Resync tries it again")
	})
}

func TestStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		opts := &resn.ConsumerOptions{Checkpoint: store}
		c, h, first, broker := startConsumer(t, 8, opts)
		second := launch(t, broker, c, h.handle, opts)
		for i := range 5 {
			c.change(t, resn.Update, i)
		}
		time.Sleep(3 * time.Second)
		if s := second.consumer.State(); s.Received != 0 {
			t.Errorf("one process of a group works, the others stand by: %+v", s)
		}
		first.end()
		for i := range 5 {
			c.change(t, resn.Update, i)
		}
		time.Sleep(10 * time.Second)
		wantEqual(t, c, h, "a process that stood by takes over")
		if s := second.consumer.State(); s.Resyncs != 0 || s.Numbers.Low != 10 {
			t.Errorf("it goes on with the numbers of the other, and finds no hole: %+v", s)
		}
	})
}

// A process that worked, lost its place to another and gets it back has numbers
// from long ago.
func TestAProcessWorksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		opts := &resn.ConsumerOptions{Checkpoint: store}
		c, h, first, broker := startConsumer(t, 8, opts)
		c.change(t, resn.Update, 1)
		time.Sleep(3 * time.Second)
		second := launch(t, broker, c, h.handle, opts)
		first.faults.Cut()
		c.change(t, resn.Update, 2)
		time.Sleep(3 * time.Second)
		first.faults.Heal(false)
		c.change(t, resn.Update, 3)
		time.Sleep(3 * time.Second)
		second.end()
		c.change(t, resn.Update, 4)
		time.Sleep(10 * time.Second)
		wantEqual(t, c, h, "whoever works, everything is handled")
		if s := first.consumer.State(); s.Resyncs != 0 || s.Numbers.Low != 4 {
			t.Errorf("what another process has handled meanwhile is no hole: %+v", s)
		}
	})
}

// Random schedules of changes, losses, failures and deaths: what the consumer
// holds in the end is what the owner holds.
func TestConsumerEndsUpEqualToItsSource(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { schedule(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func schedule(t *testing.T, random *rand.Rand) {
	t.Helper()
	const members = 14
	broker := membus.NewBroker()
	c := newCity(t, broker.Connect(nil), 10)
	c.names = random.IntN(2) == 0
	t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
	store, h := newStore(), newHeld()
	var mu sync.Mutex // of chance, which handlers ask too
	calm := false
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	chance := func(n int) bool { return pick(100) < n && !quiet(&mu, &calm) }
	h.fail = func(*resn.Change) error {
		if chance(10) {
			return context.DeadlineExceeded
		}
		return nil
	}
	c.status = func(string) int {
		if chance(10) {
			return 500
		}
		return 0
	}
	opts := &resn.ConsumerOptions{Collection: cityList, Checkpoint: store, Unseen: h.unseen, MaxAttempts: -1,
		Backoff: bus.Backoff{Min: 10 * time.Millisecond, Max: time.Second}}
	p := launch(t, broker, c, h.handle, opts)
	for range 60 {
		switch n := pick(100); {
		case n < 70:
			i := pick(members)
			c.mu.Lock()
			kind := resn.Create
			if c.versions[path(i)] > 0 {
				kind = []string{resn.Update, resn.Update, resn.Update, resn.Delete}[pick(4)]
			}
			c.mu.Unlock()
			if n < 3 {
				c.lose(kind, i)
			} else {
				c.change(t, kind, i)
			}
		case n < 76:
			p.kill()
			p = launch(t, broker, c, h.handle, opts)
		case n < 82:
			p.end()
			p = launch(t, broker, c, h.handle, opts)
		case n < 84:
			c.mu.Lock()
			c.epoch, c.seq = fmt.Sprintf("epoch %d", pick(1<<30)), 0
			c.mu.Unlock()
		default:
			<-time.After(time.Duration(pick(1500)) * time.Millisecond)
		}
	}
	mu.Lock()
	calm = true
	mu.Unlock()
	<-time.After(3 * time.Minute)
	wantEqual(t, c, h, "after any schedule the consumer holds what the owner holds")
	if s := p.consumer.State(); s.Filling || s.Waiting != 0 {
		t.Errorf("nothing is left to do: %+v", s)
	}
}

func quiet(mu *sync.Mutex, calm *bool) bool {
	mu.Lock()
	defer mu.Unlock()
	return *calm
}
