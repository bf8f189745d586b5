package resn_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// startConsumer begins a city of n restaurants with one consumer that has filled.
func startConsumer(t *testing.T, n int, opts *resn.ConsumerOptions) (*city, *held, *process, *membus.Broker) {
	t.Helper()
	broker := membus.NewBroker()
	c := newCity(t, broker.Connect(nil), n)
	t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
	h := newHeld()
	if opts == nil {
		opts = &resn.ConsumerOptions{}
	}
	opts.Collection = cityList
	p := launch(t, broker, c, h.handle, opts)
	await(t, p.consumer.Filled(), "the first fill")
	return c, h, p, broker
}

// await waits for something within a minute of the bubble's time.
func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("timed out waiting for " + what)
	}
}

func wantEqual(t *testing.T, c *city, h *held, rule string) {
	t.Helper()
	synctest.Wait()
	if d := cmp.Diff(c.truth(), h.snapshot()); d != "" {
		t.Errorf("%s (-owner +consumer):\n%s", rule, d)
	}
	if len(h.back) > 0 {
		t.Errorf("a newer state was overwritten by an older one: %v", h.back)
	}
}

func TestConsumerFillsAndFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []resn.Progress
		c, h, p, _ := startConsumer(t, 8, &resn.ConsumerOptions{OnProgress: func(r resn.Progress) { reports = append(reports, r) }})
		wantEqual(t, c, h, "the first fill brings every member of the collection")
		want := resn.Progress{Walk: 1, Pass: 1, Pages: 3, Items: 8, Total: 8, Handled: 8, Done: true}
		if d := cmp.Diff(want, reports[len(reports)-1]); d != "" {
			t.Errorf("the last report of the walk (-want +got):\n%s", d)
		}
		if len(reports) != 5 {
			t.Errorf("the walk is reported at its begin, after each page and at its end: %+v", reports)
		}
		c.change(t, resn.Update, 3)
		c.change(t, resn.Delete, 4)
		c.mu.Lock()
		c.versions[path(4)] = 1 // as if it never had been there
		c.mu.Unlock()
		c.change(t, resn.Create, 9)
		c.change(t, resn.Delete, 4)
		time.Sleep(5 * time.Second)
		wantEqual(t, c, h, "what changes is followed")
		for _, change := range h.calls() {
			if change.Href == at(4) && change.Notice.Type == resn.Delete && (!change.Gone || change.Status != 404) {
				t.Errorf("a deletion is reported as such: %+v", change)
			}
		}
		s := p.consumer.State()
		if s.Filling || s.Gone == 0 || s.Current.IsZero() || s.Staleness > time.Second {
			t.Errorf("the state says that all is handled, and up to when: %+v", s)
		}
	})
}

func TestConsumerCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, p, _ := startConsumer(t, 3, nil)
		working, goOn := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		h.mu.Lock()
		h.fail = func(*resn.Change) error {
			if once.CompareAndSwap(false, true) {
				close(working)
				<-goOn
			}
			return nil
		}
		h.mu.Unlock()
		before := c.count(path(1))
		c.change(t, resn.Update, 1)
		<-working
		for range 9 {
			c.change(t, resn.Update, 1)
		}
		c.change(t, resn.Update, 2)
		synctest.Wait()
		if got := h.snapshot()[at(2)]; got != 2 {
			t.Errorf("a resource that is being worked on holds up no other: version %d", got)
		}
		close(goOn)
		time.Sleep(5 * time.Second)
		wantEqual(t, c, h, "the last of ten changes is held")
		if n := c.count(path(1)) - before; n != 2 {
			t.Errorf("a resource that changed nine times while it was worked on is fetched once more: %d requests", n)
		}
		if s := p.consumer.State(); s.Coalesced != 8 || s.Waiting != 0 {
			t.Errorf("of nine notices one is answered by a fetch and eight with it: %+v", s)
		}
	})
}

// A group's message may come before the same message of the listener's own
// subscription. Then the cache would still vouch for what was there before.
func TestConsumerIsNeverOlderThanTheNotice(t *testing.T) {
	for _, names := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, h, p, _ := startConsumer(t, 3, nil)
			c.names = names
			p.client.Cache().InvalidateAll()
			time.Sleep(time.Second) // the topic is live
			if body := p.read(t, at(1)); body == "" {
				t.Fatal("the first read fills")
			}
			before := c.count(path(1))
			p.read(t, at(1))
			if c.count(path(1)) != before {
				t.Fatal("the cache vouches for it")
			}
			p.faults.Broadcast(func(string) membus.Fate { return membus.Fate{Delay: 200 * time.Millisecond} })
			c.change(t, resn.Update, 1)
			time.Sleep(100 * time.Millisecond)
			wantEqual(t, c, h, "the fetch after a notice is never older than the notice, though the listener hasn't heard of it")
			before = c.count(path(1))
			time.Sleep(10 * time.Second)
			p.faults.Broadcast(nil)
			time.Sleep(10 * time.Second)
			p.read(t, at(1))
			p.read(t, at(1))
			if n := c.count(path(1)) - before; n > 1 {
				t.Errorf("when the listener hears of it too, it is vouched for again: asked %d times more", n)
			}
			if names && c.count(path(1)) != before {
				t.Errorf("a notice that names the version which is there costs nothing when it comes again: asked %d times more", c.count(path(1))-before)
			}
			if s := p.client.Topics()[0]; s.Resets != 0 {
				t.Errorf("a notice that comes early by the group is no hole: %+v", s)
			}
		})
	}
}

func TestConsumerRetriesAndBuries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, p, _ := startConsumer(t, 3, &resn.ConsumerOptions{MaxAttempts: 4, Backoff: bus.Backoff{Min: time.Second}})
		broken := errors.New("the index is read-only")
		var attempts []int
		h.mu.Lock()
		h.fail = func(c *resn.Change) error {
			if c.Href != at(1) {
				return nil
			}
			attempts = append(attempts, c.Attempt)
			return broken
		}
		h.mu.Unlock()
		c.change(t, resn.Update, 1)
		c.change(t, resn.Update, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := cmp.Diff([]int{1, 2, 3, 4}, attempts); d != "" {
			t.Errorf("a failure is tried again until MaxAttempts (-want +got):\n%s", d)
		}
		if got := h.snapshot()[at(2)]; got != 2 {
			t.Errorf("a resource that fails holds up no other: version %d", got)
		}
		dead, err := p.bus.DeadLetters(t.Context(), cityTopic, "index", 10)
		if err != nil || len(dead) != 1 || dead[0].Reason != broken.Error() || dead[0].Original.Subject != at(1) {
			t.Fatalf("it becomes a dead letter with its reason: %+v, %v", dead, err)
		}
		if s := p.consumer.State(); s.Waiting != 0 || s.Numbers.Low != 2 {
			t.Errorf("a dead letter is accounted for: %+v", s)
		}
		h.mu.Lock()
		h.fail = nil
		h.mu.Unlock()
		if n, err := p.bus.Redrive(t.Context(), cityTopic, "index", nil); n != 1 || err != nil {
			t.Fatalf("Redrive: %d, %v", n, err)
		}
		time.Sleep(time.Minute)
		wantEqual(t, c, h, "a dead letter that is driven again is handled")
		if s := p.consumer.State(); s.Resyncs != 0 || s.Rejected != 1 || s.Waiting != 0 {
			t.Errorf("a dead letter is accounted for, so that it isn't taken for a hole: %+v", s)
		}
	})
}

func TestConsumerListensToRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, _, _ := startConsumer(t, 3, &resn.ConsumerOptions{Backoff: bus.Backoff{Min: time.Millisecond, Max: time.Millisecond}, MaxAttempts: 5})
		failing := atomic.Int64{}
		c.mu.Lock()
		c.status = func(p string) int {
			if p == path(1) && failing.Add(1) <= 3 {
				return 500
			}
			return 0
		}
		c.mu.Unlock()
		c.change(t, resn.Update, 1)
		time.Sleep(time.Minute)
		wantEqual(t, c, h, "an owner that fails is asked again")
		if failing.Load() != 4 {
			t.Errorf("it is asked until it answers and no further: %d times", failing.Load())
		}
	})
}

// A replica that lags answers with what was there before the notice.
func TestConsumerWaitsForALaggingReplica(t *testing.T) {
	for _, kind := range []string{resn.Update, resn.Delete, resn.Create} {
		synctest.Test(t, func(t *testing.T) {
			c, h, p, _ := startConsumer(t, 3, nil)
			c.names = true
			i := map[string]int{resn.Update: 1, resn.Delete: 1, resn.Create: 7}[kind]
			until := time.Now().Add(300 * time.Millisecond)
			c.mu.Lock()
			old := c.versions[path(i)]
			c.answer = func(p string, _ int) (int, bool) { return old, p == path(i) && time.Now().Before(until) }
			c.mu.Unlock()
			c.change(t, kind, i)
			time.Sleep(10 * time.Second)
			wantEqual(t, c, h, "an answer that isn't what the notice says is asked for again: "+kind)
			if s := p.consumer.State(); s.Unconfirmed != 0 {
				t.Errorf("what was confirmed isn't counted as unconfirmed: %+v", s)
			}
		})
	}
}

func TestConsumerHandsOverWhatIsNeverConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, p, _ := startConsumer(t, 3, nil)
		c.mu.Lock()
		e := c.commit(resn.Update, 1)
		e.ETag = `"another form of version 2"`
		c.mu.Unlock()
		if err := c.bus.Publish(t.Context(), cityTopic, e.CloudEvent("/city")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantEqual(t, c, h, "an owner whose notices name ETags that its answers don't have is believed in the end")
		if s := p.consumer.State(); s.Unconfirmed != 1 {
			t.Errorf("and that is counted: %+v", s)
		}
	})
}

func TestConsumerGoesOnFromItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		c, h, p, broker := startConsumer(t, 8, &resn.ConsumerOptions{Checkpoint: store})
		c.change(t, resn.Update, 3)
		time.Sleep(3 * time.Second)
		p.end()
		pages := c.count("/restaurants")
		for range 3 {
			c.change(t, resn.Update, 5)
		}
		c.change(t, resn.Delete, 6)
		time.Sleep(time.Minute)
		again := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, Checkpoint: store})
		time.Sleep(10 * time.Second)
		wantEqual(t, c, h, "the next process hears what changed meanwhile")
		if n := c.count("/restaurants"); n != pages {
			t.Errorf("a restarted process goes on without filling again: it read %d pages", n-pages)
		}
		if s := again.consumer.State(); s.Filling || s.Resyncs != 0 || s.Numbers.Low != 5 {
			t.Errorf("its numbers go on: %+v", s)
		}
	})
}

func TestConsumerResyncsAfterAHole(t *testing.T) {
	lost := map[string]func(t *testing.T, c *city){
		"a notice is lost and another follows": func(t *testing.T, c *city) {
			t.Helper()
			c.lose(resn.Update, 2)
			c.lose(resn.Delete, 3)
			c.change(t, resn.Update, 4)
		},
		"the last notice is lost": func(t *testing.T, c *city) {
			t.Helper()
			c.lose(resn.Update, 2)
			c.lose(resn.Delete, 3)
		},
		"a new epoch": func(_ *testing.T, c *city) {
			c.lose(resn.Update, 2)
			c.lose(resn.Delete, 3)
			c.mu.Lock()
			c.epoch, c.seq = "two", 0
			c.mu.Unlock()
		},
	}
	for name, lose := range lost {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeld()
				broker := membus.NewBroker()
				c := newCity(t, broker.Connect(nil), 8)
				t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
				p := launch(t, broker, c, h.handle, &resn.ConsumerOptions{Collection: cityList, Unseen: h.unseen})
				await(t, p.consumer.Filled(), "the first fill")
				c.change(t, resn.Update, 1)
				time.Sleep(10 * time.Second)
				lose(t, c)
				time.Sleep(30 * time.Second)
				wantEqual(t, c, h, "what was missed is made up for by a walk, deletions too")
				if s := p.consumer.State(); s.Resyncs != 1 || s.Reason == "" || s.Filling {
					t.Errorf("one walk makes up for it: %+v", s)
				}
			})
		})
	}
}

// A group that was lost at the broker while the process was away.
func TestConsumerNoticesThatItsGroupWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		c, h, p, _ := startConsumer(t, 8, &resn.ConsumerOptions{Checkpoint: store, Unseen: nil})
		c.change(t, resn.Update, 1)
		time.Sleep(3 * time.Second)
		p.end()
		c.change(t, resn.Update, 2)
		other := membus.NewBroker() // the old one's groups are gone
		c.mu.Lock()
		_ = c.bus.Shutdown(t.Context())
		c.bus = other.Connect(nil)
		c.mu.Unlock()
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		again := launch(t, other, c, h.handle, &resn.ConsumerOptions{Collection: cityList, Checkpoint: store})
		time.Sleep(30 * time.Second)
		wantEqual(t, c, h, "numbers that the group never delivered are made up for")
		if s := again.consumer.State(); s.Resyncs != 1 {
			t.Errorf("the hole is noticed: %+v", s)
		}
	})
}

func TestConsumerTakesInPlainNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, _, broker := startConsumer(t, 3, nil)
		c.mu.Lock()
		c.versions[path(1)]++
		c.mu.Unlock()
		inject(t, broker, `{"topic":"restaurants","type":"update","href":"`+at(1)+`"}`)
		time.Sleep(time.Second)
		wantEqual(t, c, h, "a bare notice is handled")
	})
}

func TestConsumerRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, p, _ := startConsumer(t, 3, nil)
		for _, e := range []bus.Event{
			{Source: "/", Type: "resn.update", Subject: "http://elsewhere.example/restaurants/1"},
			{Source: "/", Type: "resn.update", Subject: at(1), Data: []byte(`{"version":99}`)},
		} {
			if err := c.bus.Publish(t.Context(), cityTopic, e); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		dead, err := p.bus.DeadLetters(t.Context(), cityTopic, "index", 10)
		if err != nil || len(dead) != 2 {
			t.Errorf("a notice that leads to another origin, or that has a payload, is a dead letter at once: %+v, %v", dead, err)
		}
		wantEqual(t, c, h, "and changes nothing")
	})
}

func TestConsumerWithoutACollectionSaysThatItMissedSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		c := newCity(t, broker.Connect(nil), 5)
		t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
		h := newHeld()
		p := launch(t, broker, c, h.handle, nil)
		await(t, p.consumer.Filled(), "a consumer that has nothing to fill from")
		c.change(t, resn.Update, 1)
		time.Sleep(time.Second)
		c.lose(resn.Update, 2)
		c.change(t, resn.Update, 3)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if d := cmp.Diff(map[string]int{at(1): 2, at(3): 2}, h.snapshot()); d != "" {
			t.Errorf("it follows what is announced from now on (-want +got):\n%s", d)
		}
		if s := p.consumer.State(); s.Missed != 1 || s.Reason == "" || s.Resyncs != 0 || s.Numbers.Low != 3 {
			t.Errorf("it says that it missed something for good, and goes on: %+v", s)
		}
		if err := p.consumer.Resync(t.Context()); err == nil {
			t.Error("Resync has nothing to walk through, and says so")
		}
	})
}

func TestConsumerOutlivesItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		c, h, p, broker := startConsumer(t, 5, &resn.ConsumerOptions{Checkpoint: store})
		c.change(t, resn.Update, 1)
		time.Sleep(3 * time.Second)
		store.mu.Lock()
		store.fail = errors.New("the database is away")
		store.mu.Unlock()
		c.change(t, resn.Update, 2)
		time.Sleep(3 * time.Second)
		wantEqual(t, c, h, "what can't be remembered is handled all the same")
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		time.Sleep(3 * time.Second)
		if pos, _ := store.Load(t.Context()); pos.Numbers.Low != 2 {
			t.Errorf("it is remembered later: %+v", pos)
		}
		p.end()
		store.mu.Lock()
		store.fail = errors.New("the database is away")
		store.mu.Unlock()
		client, err := resn.NewClient(broker.Connect(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close(context.Background()) }()
		again, err := resn.NewConsumer(client, cityTopic, "index", h.handle, &resn.ConsumerOptions{Checkpoint: store})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Run(t.Context()); !errors.Is(err, store.fail) {
			t.Errorf("a consumer that can't know where to begin doesn't: %v", err)
		}
		if err := again.Run(t.Context()); err == nil {
			t.Error("Run may be called once")
		}
	})
}

func TestConsumerIsRefusedWhatCanNotWork(t *testing.T) {
	b := membus.New(nil)
	client, err := resn.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := resn.NewClient(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = client.Close(context.Background())
		_ = silent.Close(context.Background())
		_ = b.Shutdown(context.Background())
	}()
	handle := func(context.Context, *resn.Change) error { return nil }
	for want, try := range map[string]func() (*resn.Consumer, error){
		`resn: consumer of topic "t": the client has no bus`: func() (*resn.Consumer, error) {
			return resn.NewConsumer(silent, "t", "g", handle, nil)
		},
		`resn: consumer of topic "t": ConsumerOptions.Collection: resn: not a notice: href is "/list"; it must be an absolute http or https URL`: func() (*resn.Consumer, error) {
			return resn.NewConsumer(client, "t", "g", handle, &resn.ConsumerOptions{Collection: "/list"})
		},
		`resn: consumer of topic "t": ConsumerOptions.Origins: resn: not a notice: href is "api.example"; it must be an absolute http or https URL`: func() (*resn.Consumer, error) {
			return resn.NewConsumer(client, "t", "g", handle, &resn.ConsumerOptions{Origins: []string{"api.example"}})
		},
	} {
		if _, err := try(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
