package cache

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// live is a document whose scope is vouched for.
func live(t *testing.T, fields ...string) (*Transport, *fakeOrigin, *versioned, *Scope) {
	t.Helper()
	doc := &versioned{version: 1, fields: append([]string{"Cache-Control", `max-age=0, resn="restaurants"`}, fields...)}
	o := newOrigin(doc.handle)
	c := New(o, nil)
	s := c.Scope("restaurants")
	s.Vouch(time.Now().Add(24 * time.Hour))
	return c, o, doc, s
}

func TestVouchedEntryIsReusedWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _, s := live(t)
		get(t, c, testURL).expect(t, "version 1", false, "first read")
		time.Sleep(30 * time.Minute)
		f := get(t, c, testURL)
		f.expect(t, "version 1", true, "a live scope keeps its entries beyond max-age")
		if !strings.Contains(f.how(), "detail=vouched") {
			t.Errorf("Cache-Status doesn't say who vouched: %s", f.how())
		}
		time.Sleep(31 * time.Minute)
		get(t, c, testURL).expect(t, "version 1", false, "VouchLimit is the backstop")
		get(t, c, testURL).expect(t, "version 1", true, "the 304 restored the vouching")
		s.Suspend()
		get(t, c, testURL).expect(t, "version 1", false, "nobody vouches: HTTP's own freshness")
		if o.count() != 3 {
			t.Errorf("origin was asked %d times, want 3", o.count())
		}
	})
}

func TestNoticeEndsEveryVariant(t *testing.T) { // G1
	synctest.Test(t, func(t *testing.T) {
		c, _, doc, _ := live(t, "Vary", "Accept-Language")
		for _, lang := range []string{"en", "nl"} {
			get(t, c, testURL, "Accept-Language", lang)
			get(t, c, testURL, "Accept-Language", lang).expect(t, "version 1", true, lang)
		}
		get(t, c, testURL+"?page=2", "Accept-Language", "en")
		doc.set(2)
		c.Apply(Change{URL: testURL, Scope: "restaurants"})
		for _, lang := range []string{"en", "nl"} {
			get(t, c, testURL, "Accept-Language", lang).expect(t, "version 2", false, "G1: variant "+lang+" after the notice")
		}
		get(t, c, testURL+"?page=2", "Accept-Language", "en").expect(t, "version 2", false, "G1: a URI that differs by its query")
	})
}

// A counter per URL that is shared by its variants but stored once served
// version 1 again when version 2 had been fetched for another variant.
func TestCounterSharedAcrossVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, doc, _ := live(t, "Vary", "Accept")
		get(t, c, testURL, "Accept", "a")
		doc.set(2)
		c.Apply(Change{URL: testURL})
		get(t, c, testURL, "Accept", "b").expect(t, "version 2", false, "the other variant")
		get(t, c, testURL, "Accept", "a").expect(t, "version 2", false, "G1: the first variant is old, whatever the second one did")
	})
}

// A counter that went with its key, by DELETE, 404 or eviction, let a fetch in
// flight store what it had read before.
func TestGenerationSurvivesDeletionWhileFillInFlight(t *testing.T) {
	for name, end := range map[string]func(c *Transport){
		"delete notice":   func(c *Transport) { c.Apply(Change{URL: testURL, Gone: true}) },
		"delete request":  func(c *Transport) { fetch(c, newRequest(t, http.MethodDelete, testURL)) },
		"invalidate":      func(c *Transport) { c.Invalidate(testURL) },
		"whole origin":    func(c *Transport) { c.InvalidateOrigin("https://api.example/") },
		"prefix":          func(c *Transport) { c.InvalidatePrefix("https://api.example/rest") },
		"everything":      func(c *Transport) { c.InvalidateAll() },
		"group":           func(c *Transport) { c.InvalidateGroup("https://api.example", "g") },
		"group of path":   func(c *Transport) { c.Apply(Change{URL: "https://api.example/riders/7"}) },
		"group of topic":  func(c *Transport) { c.Apply(Change{URL: "https://api.example/x", Scope: "restaurants"}) },
		"with other case": func(c *Transport) { c.Invalidate("HTTPS://API.example:443/restaurants/./%32%303") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, o, doc, _ := live(t, "Cache-Groups", `"g", "restaurants", "/riders/7"`)
				gate := make(chan struct{})
				o.setGate(gate)
				var first fetched
				var wg sync.WaitGroup
				wg.Go(func() { first = get(t, c, testURL) })
				synctest.Wait()
				o.setGate(nil)
				doc.set(2)
				end(c)
				close(gate)
				wg.Wait()
				first.expect(t, "version 1", false, "the reader that asked before the notice")
				get(t, c, testURL).expect(t, "version 2", false, "G2: what was asked before the notice isn't kept as fresh")
				if !strings.HasPrefix(name, "delete") { // which a 200 contradicts
					get(t, c, testURL).expect(t, "version 2", true, "the fill after it is kept")
				}
			})
		})
	}
}

func TestNobodyJoinsAFlightOlderThanANotice(t *testing.T) { // G2, G5
	synctest.Test(t, func(t *testing.T) {
		c, o, doc, _ := live(t)
		gate := make(chan struct{})
		o.setGate(gate)
		results := make([]fetched, 3)
		var wg sync.WaitGroup
		for i := range results {
			if i == 2 {
				doc.set(2)
				c.Apply(Change{URL: testURL})
			}
			wg.Go(func() { results[i] = get(t, c, testURL) })
			synctest.Wait()
		}
		close(gate)
		wg.Wait()
		if results[2].body != "version 2" {
			t.Errorf("G2: a reader that started after the notice got %q", results[2].body)
		}
		if results[0].body != "version 1" {
			t.Errorf("the leader got %q, want what it asked for", results[0].body)
		}
		get(t, c, testURL).expect(t, "version 2", true, "the later fill won although both were in flight")
	})
}

func TestScopeLosesAndRegainsItsVoucher(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		c, o, _, s := live(t)
		get(t, c, testURL)
		s.Suspend()
		s.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL).expect(t, "version 1", true, "suspended and restored: nothing was missed")
		s.Reset()
		get(t, c, testURL).expect(t, "version 1", false, "G3: after a loss an entry isn't vouched for")
		s.Vouch(time.Now().Add(time.Hour))
		f := get(t, c, testURL)
		f.expect(t, "version 1", false, "G3: vouching again doesn't restore what was filled before")
		if o.last().Header.Get("If-None-Match") != `"v1"` || !strings.Contains(f.how(), "fwd-status=304") {
			t.Errorf("after a loss the entry is revalidated by its ETag, not fetched: %s", f.how())
		}
		get(t, c, testURL).expect(t, "version 1", true, "the 304 restored it")
		s.Vouch(time.Now().Add(time.Second))
		get(t, c, testURL).expect(t, "version 1", true, "a promise isn't shortened by a shorter one")
		time.Sleep(time.Hour)
		get(t, c, testURL).expect(t, "version 1", false, "the lease ran out")
	})
}

// A document that embeds others depends on their topics too.
func TestSeveralScopesHaveToVouchTogether(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn="orders restaurants"`}}
		var named []string
		c := New(newOrigin(doc.handle), &Options{OnScope: func(_, scope string) { named = append(named, scope) }})
		orders, restaurants := c.Scope("orders"), c.Scope("restaurants")
		orders.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 1", false, "one of two isn't enough")
		restaurants.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL).expect(t, "version 1", false, "what was asked for before isn't vouched for")
		get(t, c, testURL).expect(t, "version 1", true, "both vouch")
		orders.Reset()
		orders.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL).expect(t, "version 1", false, "G3: one of them has lost notices")
		restaurants.Suspend()
		get(t, c, testURL).expect(t, "version 1", false, "G3: one of them is suspended")
		if len(named) != 2 {
			t.Errorf("OnScope heard %q", named)
		}
	})
}

func TestFillBeforeTheScopeWasLiveIsNotVouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=5, resn="restaurants"`}}
		o := newOrigin(doc.handle)
		var named [][2]string
		c := New(o, &Options{OnScope: func(origin, scope string) { named = append(named, [2]string{origin, scope}) }})
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 1", true, "ordinary freshness")
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		time.Sleep(6 * time.Second)
		get(t, c, testURL).expect(t, "version 1", false, "G3: nobody knows what changed before the subscription")
		time.Sleep(6 * time.Second)
		get(t, c, testURL).expect(t, "version 1", true, "vouched since the revalidation")
		if len(named) != 1 || named[0] != [2]string{"https://api.example", "restaurants"} {
			t.Errorf("OnScope heard %v", named)
		}
	})
}

func TestRefillAfterNoticeGoesThroughIntermediaries(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		c, o, doc, _ := live(t)
		get(t, c, testURL)
		if cc := o.last().Header.Get("Cache-Control"); cc != "" {
			t.Errorf("a first fill says %q", cc)
		}
		doc.set(2)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		req := newRequest(t, http.MethodGet, testURL)
		fetch(c, req).expect(t, "version 2", false, "refill")
		if cc := o.last().Header.Get("Cache-Control"); cc != "no-cache" {
			t.Errorf("G4: the refill says Cache-Control %q, want no-cache", cc)
		}
		if got := o.last().Header.Get("If-None-Match"); got != `"v1"` {
			t.Errorf("the refill says If-None-Match %q", got)
		}
		if len(req.Header) != 0 {
			t.Errorf("the caller's request was changed: %v", req.Header)
		}
		get(t, c, testURL).expect(t, "version 2", true, "G4: its ETag is the one noticed")
	})
}

func TestRefillFromALaggingReplica(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		c, _, doc, _ := live(t)
		get(t, c, testURL)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		get(t, c, testURL).expect(t, "version 1", false, "used although it isn't the version noticed")
		get(t, c, testURL).expect(t, "version 1", false, "G4: but not vouched for")
		synctest.Wait() // for the end of the question, which the next reader could join until then
		doc.set(2)
		get(t, c, testURL).expect(t, "version 2", false, "the replica has caught up")
		get(t, c, testURL).expect(t, "version 2", true, "G4: now it is the version noticed")
		// Ahead of the notices.
		doc.set(4)
		c.Apply(Change{URL: testURL, ETag: `"v3"`})
		get(t, c, testURL).expect(t, "version 4", false, "newer than the notice")
		get(t, c, testURL).expect(t, "version 4", false, "G4: not the one noticed")
		synctest.Wait()
		c.Apply(Change{URL: testURL, ETag: `"v4"`})
		get(t, c, testURL).expect(t, "version 4", true, "G4: a later notice names the ETag it has")
	})
}

func TestNoticeOfTheVersionHeldKeepsIt(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		c, _, doc, _ := live(t)
		get(t, c, testURL)
		c.Apply(Change{URL: testURL, ETag: `"v1"`})
		get(t, c, testURL).expect(t, "version 1", true, "G4: it has that ETag already")
		doc.set(2)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		c.Apply(Change{URL: testURL, ETag: `"v1"`}) // a late duplicate
		get(t, c, testURL).expect(t, "version 2", false, "G1: a late duplicate doesn't raise the dead")
	})
}

// Representations have strong ETags that differ, and a notice names one.
func TestNoticeNamesTheVersionOfEachRepresentation(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn="restaurants"`, "Vary", "Accept"}}
		o := newOrigin(func(req *http.Request) *http.Response {
			resp := doc.handle(req)
			if tag := resp.Header.Get("ETag"); req.Header.Get("Accept") == "application/json" {
				resp.Header.Set("ETag", strings.TrimSuffix(tag, `"`)+`~json"`)
			}
			return resp
		})
		c := New(o, nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		read := func() fetched { return get(t, c, testURL, "Accept", "application/json") }
		read()
		doc.set(2)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		read().expect(t, "version 2", false, "G1: changed")
		synctest.Wait()
		read().expect(t, "version 2", true, `"v2~json" is "v2" in JSON`)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		read().expect(t, "version 2", true, "it has that version already")
		doc.set(22)
		c.Apply(Change{URL: testURL, ETag: `"v22"`})
		read().expect(t, "version 22", false, `G1: "v22" doesn't continue "v2"`)
	})
}

func TestReadsThatLag(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants", resn-lag=2`}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		vouch := func() { c.Scope("restaurants").Vouch(time.Now().Add(time.Hour)) }
		vouch()
		time.Sleep(3 * time.Second)
		c.Apply(Change{URL: testURL})
		time.Sleep(time.Second)
		get(t, c, testURL).expect(t, "version 1", false, "fill shortly after a notice")
		get(t, c, testURL).expect(t, "version 1", false, "G4: a replica may not have seen the change")
		time.Sleep(2 * time.Second)
		get(t, c, testURL)
		time.Sleep(10 * time.Minute)
		get(t, c, testURL).expect(t, "version 1", true, "two seconds after the notice all replicas have it")
		doc.set(2)
		c.Apply(Change{URL: testURL, ETag: `"v2"`})
		get(t, c, testURL).expect(t, "version 2", false, "refill at once")
		time.Sleep(10 * time.Minute)
		get(t, c, testURL).expect(t, "version 2", true, "G4: its ETag is the one noticed, however soon it came")
	})
}

func TestNoticeTouchesItsOriginOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, _ := live(t, "Cache-Groups", `"restaurants"`)
		other := strings.Replace(testURL, "api.", "other.", 1)
		get(t, c, other)
		get(t, c, testURL)
		c.Apply(Change{URL: testURL, Scope: "restaurants"})
		get(t, c, other).expect(t, "version 1", true, "a notice speaks for its own origin")
	})
}

func TestFloodOfUnseenNoticesIsBounded(t *testing.T) { // G7
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`, "Cache-Groups", `"g"`}}
		o := newOrigin(doc.handle)
		c := New(o, &Options{MaxRecords: 256})
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		held := "https://api.example/held"
		get(t, c, held)
		gate := make(chan struct{})
		o.setGate(gate)
		var wg sync.WaitGroup
		wg.Go(func() { get(t, c, testURL) })
		synctest.Wait()
		o.setGate(nil)
		c.InvalidateGroup("https://api.example", "g")
		for i := range 20000 {
			c.Apply(Change{URL: "https://api.example/unseen/" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + time.Duration(i).String()})
		}
		if n := c.Stats().Records; n > 256+16 {
			t.Errorf("G7: %d records are kept, want at most 256 and those in use", n)
		}
		close(gate)
		wg.Wait()
		doc.set(2)
		get(t, c, testURL).expect(t, "version 2", false, "G2: forgetting the group's notice means asking")
		get(t, c, held).expect(t, "version 2", false, "its group was noticed too")
		get(t, c, "https://api.example/new")
		if o.last().Header.Get("Cache-Control") != "no-cache" {
			t.Error("G4: an unknown history means asking through intermediaries")
		}
	})
}

func TestHundredConcurrentMisses(t *testing.T) { // G5
	for name, prepare := range map[string]func(c *Transport){
		"cold":        func(*Transport) {},
		"invalidated": func(c *Transport) { get(t, c, testURL); c.Apply(Change{URL: testURL}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, o, _, _ := live(t)
				prepare(c)
				before := o.count()
				gate := make(chan struct{})
				o.setGate(gate)
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						if f := get(t, c, testURL); f.body != "version 1" {
							t.Errorf("got %q", f.body)
						}
					})
				}
				synctest.Wait()
				close(gate)
				wg.Wait()
				if n := o.count() - before; n != 1 {
					t.Errorf("G5: 100 readers caused %d requests", n)
				}
			})
		})
	}
}

func TestCancelledReaderCancelsOnlyItself(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		c, o, _, _ := live(t)
		gate := make(chan struct{})
		o.setGate(gate)
		ctx, cancel := context.WithCancel(t.Context())
		var leader, follower fetched
		var wg sync.WaitGroup
		wg.Go(func() { leader = fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx)) })
		synctest.Wait()
		wg.Go(func() { follower = get(t, c, testURL) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(leader.err, context.Canceled) {
			t.Errorf("the cancelled reader got %v", leader.err)
		}
		close(gate)
		wg.Wait()
		if follower.body != "version 1" || o.count() != 1 {
			t.Errorf("G5: the other reader got %q after %d requests", follower.body, o.count())
		}
		// Alone, a cancelled reader takes its question with it.
		c.Invalidate(testURL)
		o.setGate(make(chan struct{}))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if f := fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx)); !errors.Is(f.err, context.DeadlineExceeded) {
			t.Errorf("got %v", f.err)
		}
		synctest.Wait()
		if o.last().Context().Err() == nil {
			t.Error("G5: nobody is left, but the question goes on")
		}
	})
}

func TestOwnWriteIsSeen(t *testing.T) { // G6
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		get(t, c, testURL)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL).expect(t, "version 2", false, "G6: own write")
		get(t, c, testURL).expect(t, "version 2", true, "kept again")
		o.setFail(errors.New("connection reset"))
		fetch(c, newRequest(t, http.MethodPut, testURL))
		o.setFail(nil)
		get(t, c, testURL).expect(t, "version 2", false, "G6: nobody knows what became of the write")
	})
}

// All three measured peers then serve the old body for its full max-age.
func TestFillInFlightAcrossAPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		gate := make(chan struct{})
		o.setGate(gate)
		var wg sync.WaitGroup
		wg.Go(func() { get(t, c, testURL) })
		synctest.Wait()
		o.setGate(nil)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		close(gate)
		wg.Wait()
		get(t, c, testURL).expect(t, "version 2", false, "G2: the fill was asked before the PUT")
	})
}
