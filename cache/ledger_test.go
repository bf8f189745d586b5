package cache

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is forgotten raises the floor, and never lowers it: a record may be let go
// long after its notice.
func TestTheFloorOnlyRises(t *testing.T) { // G2
	l := newLedger(1)
	const origin = "https://api.example"
	early := l.pin(1, origin)
	l.note(1, notice{at: 1})
	l.note(2, notice{at: 2})
	second := l.shard(2).find(2).generation()
	l.note(3, notice{at: 3}) // forgets 2
	if got := l.pin(4, origin).generation(); got != second {
		t.Errorf("what isn't remembered starts at %d, want the newest generation that was forgotten, %d", got, second)
	}
	l.note(3, notice{at: 4})
	l.release(early) // forgets 3, then 1
	l.note(5, notice{at: 5})
	l.note(6, notice{at: 6})
	r := l.pin(7, origin)
	if at, _ := r.forgotten(); r.generation() < second || at < 4 {
		t.Errorf("the floor sank to %d, at %d: %d was forgotten before", r.generation(), at, second)
	}
	if !r.noticed() {
		t.Error("what may have been forgotten counts as a notice")
	}
}

// Who holds a record hears of every notice, whatever else is forgotten.
func TestWhatIsHeldIsNotForgotten(t *testing.T) { // G1
	l := newLedger(1)
	l.note(1, notice{})
	held := l.pin(1, "https://api.example")
	for i := range 100 {
		l.note(uint64(i+2), notice{})
	}
	if l.peek(1) != held {
		t.Error("the record that an entry holds isn't the one that notices find")
	}
}

// A prefix counts with the newest notice that covers it, and beyond the bound all
// of the origin ends.
func TestPrefixes(t *testing.T) { // G1
	const root = "https://api.example/"
	setup := func() (*Transport, *fakeOrigin) {
		o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}).handle)
		c := New(o, nil)
		get(t, c, testURL)
		return c, o
	}
	for _, list := range [][2]string{{root, root + "restaurants/"}, {root + "restaurants/", root}} {
		c, _ := setup()
		c.InvalidatePrefix(list[0])
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 1", true, "asked for since")
		c.InvalidatePrefix(list[1])
		get(t, c, testURL).expect(t, "version 1", false, fmt.Sprintf("G1: %s came after %s", list[1], list[0]))
	}
	c, _ := setup()
	for range 2 * maxPrefixes {
		c.InvalidatePrefix(root + "orders/")
	}
	get(t, c, testURL).expect(t, "version 1", true, "the same prefix again and again is one")
	for i := range maxPrefixes {
		c.InvalidatePrefix(root + "orders/" + strconv.Itoa(i))
	}
	get(t, c, testURL).expect(t, "version 1", false, "G7: that many aren't told apart")
	get(t, c, testURL)
	c.InvalidatePrefix(root + "orders/9")
	get(t, c, testURL).expect(t, "version 1", true, "but the next one is")
}

// An origin is known as long as anything of it is.
func TestOriginOfWhatStays(t *testing.T) { // G1
	table := originTable{byName: make(map[string]*origin)}
	var clock atomic.Uint64
	o := table.pin("https://api.example")
	table.pin("https://api.example")
	table.release(o)
	table.note("https://api.example", "", &clock, 0)
	if o.generation(0, testURL) != 1 {
		t.Error("G1: a notice for an origin didn't reach what is held of it")
	}
	table.release(o)
	if got := table.pin("https://api.example").generation(0, testURL); got != 1 {
		t.Errorf("an origin that was forgotten starts at %d, want 1: a second level may hold something of it", got)
	}
	o = table.pin("https://two.example")
	table.note("https://two.example", "/x", &clock, 0)
	table.release(o)
	if got := table.pin("https://two.example").generation(0, testURL); got != 2 {
		t.Errorf("one with a prefix starts at %d, want 2", got)
	}
}

// A version is named by its whole tag, or by what is before a "~" in it.
func TestIsVersion(t *testing.T) {
	for _, tt := range []struct {
		tag, named string
		want       bool
	}{
		{`"v7"`, `"v7"`, true},
		{`"v7~json"`, `"v7"`, true},
		{`"v70"`, `"v7"`, false},
		{`"v7`, `"v7"`, false}, // no tag at all, as some send it
		{`"v7~`, `"v7"`, true},
		{`"~json"`, `""`, false},
		{`v7~json`, `v7`, false},
		{``, `"v7"`, false},
	} {
		if got := isVersion(tt.tag, tt.named); got != tt.want {
			t.Errorf("%s is %s: %v, want %v", tt.tag, tt.named, got, tt.want)
		}
	}
}

// An owner names a version, and somebody answers with a tag that has no end.
func TestNamedVersionAndATagWithoutAnEnd(t *testing.T) {
	c := New(newOrigin(func(*http.Request) *http.Response {
		return reply(200, "x", "ETag", `"v7`, "Cache-Control", "max-age=60")
	}), nil)
	get(t, c, testURL)
	c.Apply(Change{URL: testURL, ETag: `"v7"`})
	get(t, c, testURL).expect(t, "x", false, "it isn't the version that was named")
}

// Which notices end what is stored, by what they name.
func TestWhatANoticeNames(t *testing.T) { // G1, G4
	const other = testURL + "?x=1"
	for _, tt := range []struct {
		rule    string
		notices []Change
		hit     bool
	}{
		{"the version held", []Change{{URL: testURL, ETag: `"v1"`}}, true},
		{"and a duplicate of that", []Change{{URL: testURL, ETag: `"v1"`}, {URL: testURL, ETag: `"v1"`}}, true},
		{"another one in between", []Change{{URL: testURL, ETag: `"v2"`}, {URL: testURL, ETag: `"v1"`}}, false},
		{"one of which nothing is known in between", []Change{{URL: testURL}, {URL: testURL, ETag: `"v1"`}}, false},
		{"that it was gone in between", []Change{{URL: testURL, Gone: true}, {URL: testURL, ETag: `"v1"`}}, false},
		{"the same version of another query", []Change{{URL: other, ETag: `"v1"`}}, false},
		{"the same in between", []Change{{URL: other, ETag: `"v1"`}, {URL: testURL, ETag: `"v1"`}}, false},
		{"that it is gone", []Change{{URL: testURL, Gone: true}}, false},
	} {
		c, _, _, _ := live(t)
		get(t, c, testURL)
		for _, n := range tt.notices {
			n.Scope = "restaurants"
			c.Apply(n)
		}
		get(t, c, testURL).expect(t, "version 1", tt.hit, tt.rule)
	}
	c, _, _, _ := live(t)
	c.Apply(Change{URL: other, ETag: `"v9"`, Scope: "restaurants"})
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "version 1", true, "what another query is now is nothing to doubt this one for")
	d := &written{shows: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`}}
	c = New(newOrigin(d.handle), nil)
	c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
	c.Apply(Change{URL: testURL, Gone: true, Scope: "restaurants"})
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "version 1", false, "G4: it is gone, and a replica still shows it")
	d.shows = 0
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "", true, "that it is gone is kept")
}

// A reader who joins a question doesn't know which groups the answer will be in.
// What was noticed of them before he came ends it for him.
func TestGroupsOfWhatIsJoined(t *testing.T) { // G2, G5
	const api = "https://api.example"
	note := func(c *Transport) { c.InvalidateGroup(api, "g") }
	none := func(*Transport) {}
	for _, tt := range []struct {
		rule          string
		before, after func(*Transport)
		asks          int
		max           int
	}{
		{"no notice", none, none, 1, 0},
		{"one that came before him", note, none, 2, 0},
		{"one that came after him doesn't concern him", none, note, 1, 0},
		{"one before and one after", note, note, 2, 0},
		{"one that was forgotten", note, forget, 2, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Cache-Groups", `"g"`}}).handle)
			gate := make(chan struct{})
			o.setGate(gate)
			c := New(o, &Options{MaxRecords: tt.max})
			done := make(chan struct{}, 2)
			read := func() {
				get(t, c, testURL)
				done <- struct{}{}
			}
			go read()
			synctest.Wait()
			tt.before(c)
			go read()
			synctest.Wait()
			tt.after(c)
			close(gate)
			<-done
			<-done
			if n := o.count(); n != tt.asks {
				t.Errorf("%s: asked %d times, want %d", tt.rule, n, tt.asks)
			}
		})
	}
}

// endings are the ways in which what is stored for testURL, in the group g, ends.
var endings = map[string]func(*Transport){
	"everything": (*Transport).InvalidateAll,
	"an origin":  func(c *Transport) { c.InvalidateOrigin("https://api.example") },
	"a prefix":   func(c *Transport) { c.InvalidatePrefix("https://api.example/") },
	"a group":    func(c *Transport) { c.InvalidateGroup("https://api.example", "g") },
	"it":         func(c *Transport) { c.Invalidate(testURL) },
}

// Whatever has ended, a question that was sent before is nobody else's, and the next
// one goes through intermediaries.
func TestNobodyJoinsWhatHasEnded(t *testing.T) { // G2, G4
	for name, end := range endings {
		synctest.Test(t, func(t *testing.T) {
			doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=5", "Cache-Groups", `"g"`}}
			o := newOrigin(doc.handle)
			c := New(o, nil)
			get(t, c, testURL)
			time.Sleep(6 * time.Second)
			gate := make(chan struct{})
			o.setGate(gate)
			done := make(chan struct{}, 2)
			read := func() {
				get(t, c, testURL)
				done <- struct{}{}
			}
			go read()
			synctest.Wait()
			end(c)
			doc.set(2)
			go read()
			synctest.Wait()
			if n := o.count(); n != 3 {
				t.Errorf("G2: %s was ended, and who came then joined a question from before", name)
			}
			if got := o.last().Header.Get("Cache-Control"); got != "no-cache" {
				t.Errorf("G4: %s was ended, and it is asked for with Cache-Control %q", name, got)
			}
			close(gate)
			<-done
			<-done
			get(t, c, testURL).expect(t, "version 2", true, name+" was ended, and the later answer is kept")
		})
	}
}

// A reader who has joined is served, whatever is noticed then of groups that the
// question was known to be about.
func TestNoticesAfterJoining(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=5", "Cache-Groups", `"g"`}}).handle)
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(6 * time.Second)
		gate := make(chan struct{})
		o.setGate(gate)
		done := make(chan struct{}, 2)
		for range 2 {
			go func() {
				get(t, c, testURL)
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		endings["a group"](c)
		endings["a group"](c)
		close(gate)
		<-done
		<-done
		if n := o.count(); n != 2 {
			t.Errorf("asked %d times, want twice: both came before the notices", n)
		}
	})
}

// What a second level kept from before a notice that was forgotten isn't trusted.
func TestBackingAndWhatWasForgotten(t *testing.T) { // G2
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		c := New(newOrigin(doc.handle), &Options{Backing: &memoryBacking{}, MaxRecords: 1})
		get(t, c, testURL)
		synctest.Wait()
		evictAll(c)
		get(t, c, testURL).expect(t, "version 1", true, "the second level has it")
		evictAll(c)
		doc.set(2)
		c.Invalidate(testURL)
		forget(c)
		get(t, c, testURL).expect(t, "version 2", false, "G2: a notice of it may have been forgotten")
		synctest.Wait()
	})
}

// With resn-lag what ends more than a resource counts as well.
func TestReadsThatLagBehindMore(t *testing.T) { // G4
	for name, end := range endings {
		synctest.Test(t, func(t *testing.T) {
			doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants", resn-lag=2`, "Cache-Groups", `"g"`}}
			c := New(newOrigin(doc.handle), nil)
			c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
			time.Sleep(time.Minute)
			get(t, c, testURL)
			end(c)
			doc.set(2)
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 2", false, name+" was ended: what lags may not show it yet")
			time.Sleep(2*time.Second + 1)
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "version 2", true, name+": two seconds later it is kept")
		})
	}
}
