package cache

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What the simulator found, reduced.

// keptVersion is a document that an intermediary has in its store.
type keptVersion struct{ policy string }

func (d keptVersion) handle(req *http.Request) *http.Response {
	h := []string{"ETag", `"v1"`, "Cache-Control", d.policy}
	if req.Header.Get("Cache-Control") != "no-cache" {
		h = append(h, "Age", "7")
	}
	if req.Header.Get("If-None-Match") == `"v1"` {
		return reply(304, "", h...)
	}
	return reply(200, "version 1", h...)
}

// An intermediary may have kept its answer from before a notice that came
// while nobody here listened, so nothing was on record.
func TestFoundAnswerFromAnIntermediaryWasVouchedFor(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(keptVersion{`max-age=8, resn="restaurants"`}.handle)
		c := New(o, nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL)
		time.Sleep(2 * time.Second)
		get(t, c, testURL).expect(t, "version 1", false, "G4: an answer with an Age isn't vouched for")
		if got := o.last().Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("G4: what could be vouched for is asked of the owner himself, got Cache-Control %q", got)
		}
		time.Sleep(time.Minute)
		get(t, c, testURL).expect(t, "version 1", true, "G3: the owner's own 304 restored the vouching")
	})
}

// The second question after a notice went without no-cache if the entry was
// the version that the notice named.
func TestFoundNamedVersionAskedIntermediaries(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(keptVersion{`max-age=0, resn="restaurants"`}.handle)
		c := New(o, nil)
		get(t, c, testURL)
		c.Apply(Change{URL: testURL, ETag: `"v1"`})
		get(t, c, testURL)
		if got := o.last().Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("G4: the first question after a notice says Cache-Control %q, want no-cache", got)
		}
	})
}

// A generation that was forgotten lost its time, too: a lagging replica's
// answer from right after the notice was kept as fresh.
func TestFoundForgottenNoticeForgotThatReadsLag(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants", resn-lag=2`}}
		c := New(newOrigin(doc.handle), &Options{MaxRecords: 1})
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		c.Apply(Change{URL: testURL})
		for i := range 1000 {
			c.Invalidate("https://api.example/other/" + time.Duration(i).String())
		}
		get(t, c, testURL)
		doc.set(2)
		get(t, c, testURL).expect(t, "version 2", false, "G4: asked within resn-lag of a notice, even of one that was forgotten")
	})
}

// A version that was named before a prefix was invalidated counted as the
// version of after it.
func TestFoundNamedBeforeAPrefixWasInvalidated(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants", resn-lag=2`}}
		c := New(newOrigin(doc.handle), nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		c.Apply(Change{URL: testURL, ETag: `"v1"`})
		time.Sleep(time.Minute)
		get(t, c, "https://api.example/")
		c.InvalidatePrefix("https://api.example/")
		get(t, c, testURL)
		doc.set(2)
		get(t, c, testURL).expect(t, "version 2", false, "G4: a replica may have answered that hadn't seen what the prefix was invalidated for")
	})
}

// The version that a notice named counted as the latest one although notices had
// been missed since.
func TestFoundNamedBeforeNoticesWereMissed(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 3, fields: []string{"Cache-Control", `max-age=0, resn="restaurants", resn-lag=6`}}
		c := New(newOrigin(doc.handle), nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		c.Apply(Change{URL: testURL, ETag: `"v3"`})
		time.Sleep(time.Minute)
		c.Scope("restaurants").Reset() // the notice of version 4 was missed
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL) // a replica that hasn't seen version 4
		doc.set(4)
		get(t, c, testURL).expect(t, "version 4", false, "G4: asked within resn-lag of a reset, and what was named before it may be over")
	})
}

// A question was sent twice if it became known in between by what its URI
// varies.
func TestFoundSecondQuestionOnceVaryIsKnown(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		c, o, _, _ := live(t, "Vary", "Accept-Language")
		first, second := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		ask := func(gate chan struct{}, lang string) {
			o.setGate(gate)
			wg.Go(func() { get(t, c, testURL, "Accept-Language", lang) })
			synctest.Wait()
		}
		ask(first, "nl")
		c.Invalidate(testURL) // nobody joins the first one any more
		ask(second, "en")
		close(first) // now there is an entry that says what varies
		synctest.Wait()
		before := o.count()
		ask(second, "en")
		if o.count() != before {
			t.Error("G5: the question in English is under way and was sent again")
		}
		close(second)
		wg.Wait()
	})
}

// The time that a body has after its last reader left went on running for a
// reader who came then.
func TestFoundBodyCutForALateReader(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan error, 1)
		c := New(newOrigin(func(req *http.Request) *http.Response {
			resp := reply(200, "", "Cache-Control", "max-age=60")
			resp.Header.Del("Content-Length")
			resp.ContentLength = -1
			resp.Body = &exchangeBody{ctx: req.Context(), rest: "version 1", gate: gate, closed: make(chan struct{})}
			return resp
		}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx)) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		time.Sleep(finishTime / 2)
		var late fetched
		wg.Go(func() { late = get(t, c, testURL) })
		time.Sleep(2 * finishTime)
		gate <- nil
		wg.Wait()
		if late.body != "version 1" || !strings.Contains(late.how(), "collapsed") {
			t.Errorf("G5: the reader who joined got %q (%s)", late.body, late.how())
		}
	})
}

// Readers of a list all asked alone once three changes of its members in a
// row had overtaken their question.
func TestFoundHerdBehindABusyList(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		c, o, _, _ := live(t, "Cache-Groups", `"restaurants"`)
		var gates []chan struct{}
		var wg sync.WaitGroup
		for round := range 5 {
			gates = append(gates, make(chan struct{}))
			o.setGate(gates[round])
			for range 20 {
				wg.Go(func() { get(t, c, testURL) })
			}
			synctest.Wait()
			c.InvalidateGroup("https://api.example", "restaurants")
			if round > 0 {
				close(gates[round-1])
				synctest.Wait()
			}
		}
		for _, gate := range slices.Backward(gates) {
			select {
			case <-gate:
			default:
				close(gate)
			}
			synctest.Wait()
		}
		wg.Wait()
		if n := o.count(); n > 10 {
			t.Errorf("G5: 100 readers with five changes in between caused %d requests", n)
		}
	})
}
