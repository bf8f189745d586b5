package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn/gateway"
)

// The tests of this file are named for what broke at Routemaster, or was missed
// there.

// Routemaster left a subscriber alone only after some 42 failures.
func TestDefectNoBackoffForTheFirstFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		r.calls.set(down)
		r.push(owner, "widgets", "https://api.example/widgets/1")
		time.Sleep(10 * time.Minute)
		got := r.calls.all()
		if len(got) < 5 {
			t.Fatalf("only %d attempts in ten minutes", len(got))
		}
		full := 500 * time.Millisecond
		for i := 1; i < len(got); i++ {
			// Jitter takes up to half.
			if gap := got[i].at.Sub(got[i-1].at); gap < min(full, 5*time.Minute)/2 {
				t.Errorf("after failure %d in a row it waited %v; it doubles from 500 ms, from the first on", i, gap)
			}
			full *= 2
		}
	})
}

// At Routemaster dead listeners were retried hot: 2,400 throttlings a second in
// an outage.
func TestDefectDeadListenerIsRetriedHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *gateway.Options) { o.Delivery.Failures = 1 << 31 }) // no circuit helps
		owner := r.token("owner")
		for i := range 20 {
			r.subscribe(r.token(fmt.Sprint("reader", i)), "widgets", `,"max":20`)
		}
		r.calls.set(func(q request) (reply, error) {
			time.Sleep(time.Second)
			return down(q)
		})
		for i := range 100 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
		}
		time.Sleep(time.Hour)
		if n := len(r.calls.all()); n > 20*30 {
			t.Errorf("20 dead listeners were asked %d times in an hour", n)
		}
	})
}

// At Routemaster a poison batch was retried for ever, and there were no dead
// letters.
func TestDefectPoisonBatchIsRetriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		r.calls.set(func(q request) (reply, error) {
			if strings.Contains(q.body, "/poison") {
				return says(500), nil
			}
			return says(204), nil
		})
		for i := range 99 {
			if i == 40 {
				r.push(owner, "widgets", "https://api.example/widgets/poison")
			}
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%02d", i))
		}
		time.Sleep(2 * time.Minute)
		if s := r.g.Stats(); s.Delivered != 99 {
			t.Errorf("two minutes later %d of the 99 others in its batch are delivered", s.Delivered)
		}
		time.Sleep(2 * time.Hour)
		if s := r.g.Stats(); s.Dead != 1 {
			t.Fatalf("%d events became dead letters; the poison should have", s.Dead)
		}
		group := r.groupOf("reader")
		letters, err := r.bus.DeadLetters(t.Context(), "widgets", group, 10)
		if err != nil || len(letters) != 1 || letters[0].Original.Subject != "https://api.example/widgets/poison" || !strings.Contains(letters[0].Reason, "answer 500") {
			t.Fatalf("the dead letter names the event and the reason: %+v, %v", letters, err)
		}
		n := len(r.calls.all())
		time.Sleep(24 * time.Hour)
		if more := len(r.calls.all()) - n; more != 0 {
			t.Errorf("a day later it was sent %d times more", more)
		}
		// When the subscriber is mended the dead letter can be given back to it.
		r.calls.set(nil)
		if n, err := r.bus.Redrive(t.Context(), "widgets", group, nil); n != 1 || err != nil {
			t.Fatalf("Redrive: %d, %v", n, err)
		}
		time.Sleep(time.Minute)
		if s := r.g.Stats(); s.Delivered != 100 {
			t.Errorf("after the redrive %d of 100 are delivered", s.Delivered)
		}
	})
}

// Once it is known which event is refused, it travels alone: no other batch is
// refused because of it.
func TestKnownPoisonTravelsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"timeout":2000`)
		r.calls.set(func(q request) (reply, error) {
			if strings.Contains(q.body, "/poison") {
				return says(500), nil
			}
			return says(204), nil
		})
		r.push(owner, "widgets", "https://api.example/widgets/poison")
		time.Sleep(10 * time.Second)
		for i := range 5000 {
			r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
			time.Sleep(100 * time.Millisecond)
		}
		if s := r.g.Stats(); s.Refused != 10 || s.Dead != 1 {
			t.Errorf("%d requests were refused until it was dead (%d); its ten attempts are enough", s.Refused, s.Dead)
		}
	})
}

// groupOf returns the name of the client's group.
func (r *rig) groupOf(name string) string {
	r.t.Helper()
	tokens, err := r.store.Tokens(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(tokens, func(t gateway.Token) bool { return t.Name == name })
	return "gateway." + tokens[i].ID
}

// A callback that is down for long refuses nothing, so nothing becomes a dead
// letter.
func TestOutageMakesNoDeadLetters(t *testing.T) {
	for name, answer := range map[string]func(request) (reply, error){"down": down, "503": always(503), "429": always(429)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				owner, reader := r.token("owner"), r.token("reader")
				r.subscribe(reader, "widgets", "")
				r.calls.set(answer)
				for i := range 300 {
					r.push(owner, "widgets", fmt.Sprintf("https://api.example/widgets/%d", i))
				}
				time.Sleep(24 * time.Hour)
				r.calls.set(nil)
				time.Sleep(time.Hour)
				if s := r.g.Stats(); s.Dead != 0 || s.Delivered != 300 {
					t.Errorf("after a day of outage %d are dead and %d of 300 delivered", s.Dead, s.Delivered)
				}
			})
		})
	}
}

// Routemaster dropped the oldest messages when memory ran low, silently.
func TestDefectAutodropLosesSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", `,"max":200`)
		r.calls.set(down)
		const n = 3000
		want := make([]string, n)
		for i := range n {
			want[i] = fmt.Sprintf("https://api.example/widgets/%05d", i)
			r.push(owner, "widgets", want[i])
		}
		time.Sleep(time.Hour)
		if queued, err := r.bus.Backlog(t.Context(), "widgets", r.groupOf("reader")); queued != n || err != nil {
			t.Errorf("%d of %d events are queued for a dead subscriber: %v", queued, n, err)
		}
		before := len(r.calls.all())
		r.calls.set(nil)
		time.Sleep(time.Hour)
		var got []string
		for _, q := range r.calls.all()[before:] {
			got = append(got, q.urls()...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("the oldest come too, like all others:\n%.2000s", diff)
		}
	})
}

// Routemaster's bootstrapping by noop events hit every subscriber. Here one can
// do without them.
func TestDefectNoopFloodHitsEverySubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, fresh, old := r.token("owner"), r.token("new"), r.token("old")
		r.must(204, fresh, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://new.example/","uuid":"u"}`)
		r.must(204, old, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://old.example/","uuid":"u","types":["create","update","delete"]}`)
		for i := range 200 {
			r.must(200, owner, "POST", "/topics/widgets", fmt.Sprintf(`{"type":"noop","url":"https://api.example/widgets/%d"}`, i))
		}
		r.push(owner, "widgets", "https://api.example/widgets/7")
		time.Sleep(time.Minute)
		count := map[string]int{}
		for _, q := range r.calls.all() {
			count[q.url] += len(q.urls())
		}
		if diff := cmp.Diff(map[string]int{"https://new.example/": 201, "https://old.example/": 1}, count); diff != "" {
			t.Errorf("who wants no noops gets none:\n%s", diff)
		}
	})
}

// The drain dropped events of equal milliseconds. The gateway delivers both, in
// order, with their own t.
func TestDefectEqualMillisecondEventsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		owner, reader := r.token("owner"), r.token("reader")
		r.subscribe(reader, "widgets", "")
		for _, kind := range []string{"create", "update", "delete"} {
			r.must(200, owner, "POST", "/topics/widgets", `{"type":"`+kind+`","url":"https://api.example/widgets/1","timestamp":946684800000}`)
		}
		time.Sleep(time.Minute)
		var kinds []string
		for _, q := range r.calls.all() {
			for _, kind := range []string{"create", "update", "delete"} {
				if strings.Contains(q.body, `"type":"`+kind+`"`) {
					kinds = append(kinds, kind)
				}
			}
			if !strings.Contains(q.body, `"t":946684800000`) {
				t.Errorf("t isn't the publisher's: %s", q.body)
			}
		}
		if diff := cmp.Diff([]string{"create", "update", "delete"}, kinds); diff != "" {
			t.Errorf("every event comes, in order:\n%s", diff)
		}
	})
}

// Routemaster verified no certificates unless told to.
func TestDefectCertificatesAreNotVerified(t *testing.T) {
	asked := make(chan struct{}, 1)
	callback := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	callback.Config.ErrorLog = quiet()
	callback.StartTLS()
	defer callback.Close()
	r := newRig(t, func(o *gateway.Options) {
		o.Callbacks.Transport = nil
		o.Callbacks.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	owner, reader := r.token("owner"), r.token("reader")
	r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback.URL+`","uuid":"u","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	r.eventually("the delivery fails because of the certificate", func() bool {
		s := r.g.Subscribers()
		return len(s) == 1 && strings.Contains(s[0].LastError, "certificate")
	})
	select {
	case <-asked:
		t.Error("a callback with an unknown certificate was asked")
	default:
	}
}

// Routemaster's publishers lost what was published after the commit if the bus
// was away, because they heard of success before there was one. Here the answer
// comes when the bus has the event safe.
func TestDefectPushIsAnsweredBeforeItIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var faults membus.Faults
		r := newRig(t, nil)
		b := r.broker.Connect(&membus.Options{Faults: &faults})
		opts := &gateway.Options{RootToken: root}
		opts.Callbacks.Transport = r.calls
		g := r.open(b, opts)
		owner := r.token("owner")
		faults.Publish(func() membus.PublishFate { return membus.PublishFate{Drop: true} })
		if a := call(g, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/1"}`); a.status != 503 {
			t.Errorf("the bus doesn't have the event and the push is answered %d", a.status)
		}
		faults.Publish(nil)
		if a := call(g, owner, "POST", "/topics/widgets", `{"type":"create","url":"https://api.example/widgets/1"}`); a.status != 200 {
			t.Errorf("the bus has the event and the push is answered %d %s", a.status, a.body)
		}
		r.shut(g)
		_ = b.Shutdown(t.Context())
	})
}
