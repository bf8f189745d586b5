package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn/gateway"
)

// A batch leaves when its first event has waited for the deadline, and not
// before.
func TestBatchByDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"timeout":300`)
		began := time.Now()
		for i := range 3 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(149 * time.Millisecond)
		if got := r.calls.all(); len(got) != 0 {
			t.Fatalf("a batch left after %v, before its deadline of 300 ms", got[0].at.Sub(began))
		}
		time.Sleep(10 * time.Millisecond)
		got := r.calls.all()
		if len(got) != 1 || len(got[0].urls()) != 3 {
			t.Fatalf("events that wait for the same deadline travel together; got %d requests: %v", len(got), got)
		}
		if after := got[0].at.Sub(began); after != 300*time.Millisecond {
			t.Errorf("the batch left after %v; its deadline is 300 ms", after)
		}
	})
}

// A batch leaves at once when it is full.
func TestBatchBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"timeout":60000,"max":5`)
		for i := range 12 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
		}
		synctest.Wait()
		sizes := []int{}
		for _, q := range r.calls.all() {
			sizes = append(sizes, len(q.urls()))
		}
		if diff := cmp.Diff([]int{5, 5}, sizes); diff != "" {
			t.Errorf("full batches leave without waiting, and no others:\n%s", diff)
		}
		time.Sleep(61 * time.Second)
		if got := r.calls.urls(); len(got) != 12 {
			t.Errorf("the rest leaves at its deadline; %d of 12 events came", len(got))
		}
	})
}

// Any 2xx acknowledges; what isn't acknowledged comes again.
func TestAcknowledgedBy2xx(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204, 299} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			owner, reader := r.token("owner"), r.token("reader")
			r.subscribe(reader, "widgets", "")
			r.calls.set(always(status))
			r.push(owner, "widgets", "https://api.example/widgets/1")
			time.Sleep(time.Hour)
			if got := r.calls.all(); len(got) != 1 {
				t.Errorf("%d acknowledges; the event came %d times", status, len(got))
			}
		})
	}
	for _, status := range []int{301, 304, 400, 401, 404, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			owner, reader := r.token("owner"), r.token("reader")
			r.subscribe(reader, "widgets", "")
			r.calls.set(always(status, "Location", "https://elsewhere.example/"))
			r.push(owner, "widgets", "https://api.example/widgets/1")
			time.Sleep(time.Minute)
			r.calls.set(nil)
			time.Sleep(time.Hour)
			got := r.calls.all()
			if len(got) < 2 {
				t.Errorf("%d doesn't acknowledge; the event came %d times", status, len(got))
			}
			for _, q := range got {
				if q.url != "https://app.example/events" {
					t.Errorf("a redirect was followed to %s", q.url)
				}
			}
			if s := r.g.Stats(); s.Delivered != 1 {
				t.Errorf("after the trouble with %d the event was delivered %d times", status, s.Delivered)
			}
		})
	}
}

// Nothing is lost when the gateway ends while an event is on its way, and
// another takes over.
func TestAtLeastOnceAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"max":7`)
		r.calls.set(down)
		var want []string
		for i := range 40 {
			url := fmt.Sprintf("https://api.example/widgets/%02d", i)
			want = append(want, url)
			r.push(owner, "widgets", url)
		}
		time.Sleep(10 * time.Second)
		r.shut(r.g)

		calls := &callbacks{}
		opts := &gateway.Options{RootToken: root}
		opts.Callbacks.Transport = calls
		b := r.broker.Connect(nil)
		second := r.open(b, opts)
		time.Sleep(time.Minute)
		got := calls.urls()
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("every event is delivered at least once:\n%s", diff)
		}
		r.shut(second)
		_ = b.Shutdown(context.Background())
	})
}

// Events of one resource come in the order of their publication, whatever
// fails in between.
func TestOrderPerResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"timeout":0`)
		n := 0
		r.calls.set(func(request) (reply, error) {
			if n++; n%3 == 0 {
				return says(500), nil
			}
			return says(204), nil
		})
		for i := range 20 {
			r.must(200, owner, "POST", "/topics/widgets", fmt.Sprintf(`{"type":"update","url":"https://api.example/widgets/1","timestamp":%d}`, 946_684_800_000-1_000_000+i))
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/other%d", i))
		}
		time.Sleep(10 * time.Minute)
		last := ""
		seen := map[string]bool{}
		for _, q := range r.calls.all() {
			for part := range strings.SplitSeq(q.body, "},{") {
				if !strings.Contains(part, `/widgets/1"`) {
					continue
				}
				_, t0, _ := strings.Cut(part, `"t":`)
				t0 = strings.TrimRight(t0, "}]")
				if t0 < last {
					t.Fatalf("an event of %s came after one of %s", t0, last)
				}
				last = t0
				seen[t0] = true
			}
		}
		if len(seen) != 20 {
			t.Errorf("%d of 20 events of the resource came", len(seen))
		}
	})
}

// A url that changes faster than the deadline gets a tenth of it, and doesn't
// fall ever further behind.
func TestHotResourceKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"timeout":500`)
		for range 15 * 60 { // a minute of 15 changes a second
			r.push(owner, "widgets", "https://api.example/widgets/hot")
			time.Sleep(time.Second / 15)
		}
		time.Sleep(time.Second)
		if s := r.g.Stats(); s.Delivered != 15*60 {
			t.Errorf("a second later %d of %d changes are delivered", s.Delivered, 15*60)
		}
		if n := len(r.calls.all()); n > 61*20 {
			t.Errorf("%d requests in a minute; a tenth of the deadline apart they are 20 a second", n)
		}
	})
}

// A callback that asks for patience gets it.
func TestRetryAfterIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		r.calls.set(always(429, "Retry-After", "120"))
		r.push(owner, "widgets", "https://api.example/widgets/1")
		time.Sleep(119 * time.Second)
		if got := r.calls.all(); len(got) != 1 {
			t.Errorf("it was asked %d times within the 120 s that it asked for", len(got))
		}
		r.calls.set(nil)
		time.Sleep(2 * time.Minute)
		if s := r.g.Stats(); s.Delivered != 1 {
			t.Errorf("delivered %d events after the wait", s.Delivered)
		}
	})
}

// Unsubscribing ends deliveries at once, whatever is queued or on its way, and
// takes the queue away. Subscribing again begins with what comes then.
func TestUnsubscribingUnclogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		r.calls.set(down)
		for i := range 500 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
		}
		time.Sleep(time.Hour) // deep in backoff
		r.must(204, reader, "DELETE", "/subscriber", "")
		before := len(r.calls.all())
		r.calls.set(nil)
		r.subscribe(reader, "widgets", "")
		time.Sleep(time.Second)
		r.push(owner, "widgets", "https://api.example/widgets/new")
		time.Sleep(time.Second)
		after := r.calls.all()[before:]
		if len(after) != 1 || !slices.Equal(after[0].urls(), []string{"https://api.example/widgets/new"}) {
			t.Errorf("after subscribing anew only what is new comes, at once; got %d requests", len(after))
		}
	})
}

// Leaving one of two topics frees the other at once, though the subscriber is
// deep in backoff because of the first.
func TestUnsubscribingOneTopicUnclogsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.must(204, reader, "POST", "/subscription", `{"topics":["bad","good"],"callback":"https://app.example/events","uuid":"u"}`)
		r.calls.set(func(q request) (reply, error) {
			if strings.Contains(q.body, "/bad/") {
				return says(500), nil
			}
			return says(204), nil
		})
		for i := range 50 {
			r.push(owner, "bad", fmt.Sprintf("https://api.example/bad/%d", i))
		}
		time.Sleep(30 * time.Minute)
		r.push(owner, "good", "https://api.example/good/1")
		r.must(204, reader, "DELETE", "/subscriber/topics/bad", "")
		left := time.Now()
		time.Sleep(10 * time.Second)
		for _, q := range r.calls.all() {
			if slices.Contains(q.urls(), "https://api.example/good/1") && q.at.Sub(left) <= time.Second {
				return
			}
		}
		t.Error("leaving the topic that fails has the other delivered within a second")
	})
}

// A change of the subscription is tried at once: it may be the cure.
func TestNewCallbackIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		r.calls.set(func(q request) (reply, error) {
			if strings.Contains(q.url, "new.example") {
				return says(204), nil
			}
			return down(q)
		})
		r.push(owner, "widgets", "https://api.example/widgets/1")
		time.Sleep(2 * time.Hour)
		r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://new.example/events","uuid":"u"}`)
		time.Sleep(time.Second)
		if s := r.g.Stats(); s.Delivered != 1 {
			t.Errorf("a second after the callback was corrected %d events were delivered", s.Delivered)
		}
	})
}

// One host that is down is left alone by all subscribers behind it.
func TestCircuitPerHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *gateway.Options) {
			o.Delivery.Failures, o.Delivery.OpenFor = 5, time.Minute
			o.Delivery.Backoff = bus.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		})
		owner := r.token("owner")
		for i := range 20 {
			r.subscribe(r.token(fmt.Sprintf("reader%d", i)), "widgets", "")
		}
		r.calls.set(down)
		r.push(owner, "widgets", "https://api.example/widgets/1")
		time.Sleep(50 * time.Second)
		// 20 subscribers with a second of backoff would ask a thousand times.
		if n := len(r.calls.all()); n > 40 {
			t.Errorf("the host was asked %d times in 50 s with its circuit open", n)
		}
		if s := r.g.Stats(); s.Throttled == 0 {
			t.Error("nobody was throttled")
		}
		r.calls.set(nil)
		time.Sleep(5 * time.Minute)
		if s := r.g.Stats(); s.Delivered != 20 {
			t.Errorf("when the host is well again all get the event; %d of 20 did", s.Delivered)
		}
	})
}

// A subscriber that is down doesn't slow another's deliveries.
func TestSubscribersAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, dead, well := r.token("owner"), r.token("dead"), r.token("well")
		r.must(204, dead, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://dead.example/","uuid":"u","timeout":0}`)
		r.must(204, well, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://well.example/","uuid":"u","timeout":0}`)
		r.calls.set(func(q request) (reply, error) {
			if strings.Contains(q.url, "dead") {
				return down(q)
			}
			return says(204), nil
		})
		for i := range 1000 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
		}
		time.Sleep(time.Second)
		if s := r.g.Stats(); s.Delivered != 1000 {
			t.Errorf("%d of 1000 events reached the one that is well", s.Delivered)
		}
	})
}

// Two gateways at one store and one bus share the work, and a subscription made
// at one is delivered though the other is asked for events.
func TestSeveralGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		opts := &gateway.Options{RootToken: root}
		opts.Callbacks.Transport = r.calls
		b := r.broker.Connect(nil)
		second := r.open(b, opts)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		time.Sleep(time.Minute)
		if a := call(second, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/1"}`); a.status != 200 {
			t.Fatalf("push at the second gateway: %d %s", a.status, a.body)
		}
		time.Sleep(time.Second)
		if got := r.calls.urls(); len(got) != 1 {
			t.Errorf("the event was delivered %d times", len(got))
		}
		// The first ends; the second goes on.
		r.shut(r.g)
		call(second, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/2"}`)
		time.Sleep(time.Second)
		if got := r.calls.urls(); len(got) != 2 {
			t.Errorf("after the first gateway ended, %d of 2 events were delivered", len(got))
		}
		// Unsubscribing at the one that is left is the end of it.
		if a := call(second, reader, "DELETE", "/subscriber", ""); a.status != 204 {
			t.Fatalf("unsubscribe: %d %s", a.status, a.body)
		}
		call(second, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/3"}`)
		time.Sleep(time.Minute)
		if got := r.calls.urls(); len(got) != 2 {
			t.Errorf("after unsubscribing something came: %v", got)
		}
		r.shut(second)
		_ = b.Shutdown(context.Background())
	})
}
