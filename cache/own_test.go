package cache

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// written is a document with a replica that may lag, and answers to writes
// that may name the version that they made.
type written struct {
	version int
	shows   int // what the replica shows; zero for the version there is
	names   bool
	fields  []string
}

func (d *written) handle(req *http.Request) *http.Response {
	switch req.Method {
	case http.MethodPut:
		d.version++
		if d.names {
			return reply(204, "", "ETag", d.tag(d.version))
		}
		return reply(204, "")
	case http.MethodDelete:
		d.version = 0
		return reply(204, "")
	}
	v := d.version
	if d.shows > 0 {
		v = d.shows
	}
	if v == 0 {
		return reply(404, "", d.fields...)
	}
	fields := append([]string{"ETag", d.tag(v)}, d.fields...)
	if req.Header.Get("If-None-Match") == d.tag(v) {
		return reply(304, "", fields...)
	}
	return reply(200, "version "+strconv.Itoa(v), fields...)
}

func (*written) tag(v int) string { return `"v` + strconv.Itoa(v) + `"` }

// Who has written isn't shown from the store what a replica says that hasn't
// seen the write, until the notice of it must have come.
func TestOwnWriteAndAReplica(t *testing.T) { // G6
	const policy = `max-age=60, resn="restaurants"`
	setup := func(t *testing.T, d *written) (*Transport, *Scope) {
		t.Helper()
		d.version = 1
		c := New(newOrigin(d.handle), nil)
		s := c.Scope("restaurants")
		s.Heard(time.Now())
		s.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL)
		return c, s
	}
	put := func(t *testing.T, c *Transport) {
		t.Helper()
		fetch(c, newRequest(t, http.MethodPut, testURL))
	}
	synctest.Test(t, func(t *testing.T) {
		d := &written{fields: []string{"Cache-Control", policy}}
		c, s := setup(t, d)
		time.Sleep(time.Second)
		put(t, c)
		d.shows = 1
		get(t, c, testURL).expect(t, "version 1", false, "a replica answers")
		d.shows = 0
		get(t, c, testURL).expect(t, "version 2", false, "G6: what the replica said isn't reused")
		get(t, c, testURL).expect(t, "version 2", false, "nobody knows yet that this is it")
		s.Heard(time.Now().Add(-time.Second))
		get(t, c, testURL).expect(t, "version 2", false, "G6: the topic hasn't told yet of everything up to the write")
		time.Sleep(time.Second)
		s.Heard(time.Now().Add(-time.Millisecond))
		get(t, c, testURL).expect(t, "version 2", false, "asked once the notice must have come")
		get(t, c, testURL).expect(t, "version 2", true, "then it is kept")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{names: true, fields: []string{"Cache-Control", policy}}
		c, _ := setup(t, d)
		put(t, c)
		d.shows = 1
		get(t, c, testURL)
		d.shows = 0
		get(t, c, testURL).expect(t, "version 2", false, "G6: what the replica said isn't reused")
		get(t, c, testURL).expect(t, "version 2", true, "it is the version that the write's answer named")
		c.Apply(Change{URL: testURL, ETag: `"v2"`, Scope: "restaurants"})
		get(t, c, testURL).expect(t, "version 2", true, "and that the notice names")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{fields: []string{"Cache-Control", policy}}
		c, _ := setup(t, d)
		d.version = 3
		c.Apply(Change{URL: testURL, ETag: `"v3"`, Scope: "restaurants"})
		put(t, c)
		c.Scope("restaurants").Heard(time.Now().Add(time.Millisecond))
		d.shows = 2
		get(t, c, testURL)
		d.shows = 3
		get(t, c, testURL).expect(t, "version 3", false, "G4: the write doesn't undo what the notice has said")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{fields: []string{"Cache-Control", policy}}
		c, _ := setup(t, d)
		fetch(c, newRequest(t, http.MethodDelete, testURL))
		d.shows = 1
		get(t, c, testURL).expect(t, "version 1", false, "a replica answers")
		d.shows = 0
		if f := get(t, c, testURL); f.status != 404 || f.hit() {
			t.Errorf("G6: what the replica said isn't reused, got %d (%s)", f.status, f.how())
		}
		if f := get(t, c, testURL); f.status != 404 || !f.hit() {
			t.Errorf("that it is gone is what the DELETE did, got %d (%s)", f.status, f.how())
		}
	})
	// A scope that is driven by hand and never says what it has heard.
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, fields: []string{"Cache-Control", policy}}
		c := New(newOrigin(d.handle), nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		put(t, c)
		d.shows = 1
		get(t, c, testURL)
		d.shows = 0
		get(t, c, testURL).expect(t, "version 2", false, "G6: what the replica said isn't reused")
		time.Sleep(lagTime)
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", true, "five seconds later it is kept")
	})
}

// HTTP alone asks no more than that a write invalidates. But what its answer
// named is known.
func TestOwnWriteWithoutNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, names: true, fields: []string{"Cache-Control", "max-age=3600"}}
		c := New(newOrigin(d.handle), nil)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		d.shows = 1
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 1", false, "G6: another version than the one that the write's answer named isn't kept at once")
		d.shows = 0
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", true, "the one that it named is")
		fetch(c, newRequest(t, http.MethodPut, testURL))
		time.Sleep(lagTime)
		d.version = 9
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 9", true, "and five seconds later any is")
		d.names = false
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 10", true, "an answer that names nothing is HTTP's")
		fetch(c, newRequest(t, http.MethodDelete, testURL))
		d.shows = 10
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 10", false, "G6: what was deleted isn't kept at once")
	})
}

// Which resource the ETag of a write's answer is about.
func TestWhatAWriteNames(t *testing.T) {
	const other = "https://api.example/restaurants/204"
	for _, tt := range []struct {
		rule, method string
		status       int
		fields       []string
		url          string
		named        bool
	}{
		{"PUT: the target (RFC 9110 section 9.3.4)", "PUT", 200, nil, testURL, true},
		{"PATCH: the target", "PATCH", 204, nil, testURL, true},
		{"201 to PUT without Location: the target", "PUT", 201, nil, testURL, true},
		{"201 with Location: that (RFC 9110 section 15.3.2)", "POST", 201, []string{"Location", "/restaurants/204"}, other, true},
		{"... not the target", "POST", 201, []string{"Location", "/restaurants/204"}, testURL, false},
		{"Content-Location: that", "POST", 200, []string{"Content-Location", "/restaurants/204"}, other, true},
		{"... not the target", "PUT", 200, []string{"Content-Location", "/restaurants/204"}, testURL, false},
		{"the target, if Content-Location says so", "POST", 200, []string{"Content-Location", testURL}, testURL, true},
		{"POST: its own answer", "POST", 200, nil, testURL, false},
		{"202: nothing was done yet", "PUT", 202, nil, testURL, false},
		{"Location is of what was created only", "PUT", 200, []string{"Location", "/restaurants/204"}, testURL, true},
		{"the target, if Content-Location spells it otherwise", "PUT", 200, []string{"Content-Location", "/x/../restaurants/%32%303"}, testURL, true},
		{"another query: nothing", "PUT", 200, nil, testURL + "?x=1", false},
		{"303: the answer is elsewhere", "PUT", 303, []string{"Location", "/restaurants/204"}, other, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(newOrigin(func(req *http.Request) *http.Response {
				if req.Method == http.MethodGet {
					return reply(200, "version 2", "ETag", `"v2"`, "Cache-Control", `max-age=60, resn="restaurants"`)
				}
				return reply(tt.status, "", append([]string{"ETag", `"v2"`}, tt.fields...)...)
			}), nil)
			c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
			get(t, c, tt.url)
			fetch(c, newRequest(t, tt.method, testURL))
			get(t, c, tt.url).expect(t, "version 2", false, tt.rule+": invalidated")
			get(t, c, tt.url).expect(t, "version 2", tt.named, tt.rule)
		})
	}
}

// What lists and documents show of a resource that was written may come from a
// replica that hasn't seen the write, until its notice must have come.
func TestOwnWriteInAList(t *testing.T) { // G6
	const (
		named = `max-age=60, resn="restaurants"`
		both  = `max-age=60, resn="orders restaurants"`
		plain = "max-age=60"
		list  = "https://api.example/restaurants"
		order = "https://api.example/orders/9"
	)
	for _, tt := range []struct {
		rule, shows string
		fields      []string // of what shows it
		written     string   // the Cache-Control of what is written
		answer      string   // and of the write's answer
		read        bool     // it is stored when it is written
		ends        bool     // what shows it ends
		waits       bool     // and isn't kept before the notice must have come
	}{
		{"a list, by the stored topic", list, []string{"Cache-Control", named, "Cache-Groups", `"restaurants"`}, named, "", true, true, true},
		{"a list, by the answer's topic", list, []string{"Cache-Control", named, "Cache-Groups", `"restaurants"`}, named, named, false, true, true},
		{"a list of a topic that nobody knows yet", list, []string{"Cache-Control", named, "Cache-Groups", `"restaurants"`}, named, "", false, false, false},
		{"what embeds it, by its path", order, []string{"Cache-Control", both, "Cache-Groups", `"/restaurants/203"`}, named, "", false, true, true},
		{"without a topic it is HTTP", order, []string{"Cache-Control", plain, "Cache-Groups", `"/restaurants/203"`}, plain, "", true, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &written{version: 1, fields: tt.fields}
			c := New(newOrigin(func(req *http.Request) *http.Response {
				switch {
				case req.Method == http.MethodPut:
					r := d.handle(req)
					if tt.answer != "" {
						r.Header.Set("Cache-Control", tt.answer)
					}
					return r
				case req.URL.Path == "/restaurants/203":
					return reply(200, "it", "Cache-Control", tt.written)
				}
				return d.handle(req)
			}), nil)
			said := func() {
				for _, name := range []string{"orders", "restaurants"} {
					c.Scope(name).Heard(time.Now().Add(-time.Millisecond))
					c.Scope(name).Vouch(time.Now().Add(time.Hour))
				}
			}
			said()
			time.Sleep(time.Second)
			if tt.read {
				get(t, c, testURL)
			}
			get(t, c, tt.shows)
			fetch(c, newRequest(t, http.MethodPut, testURL))
			d.shows = 1
			if f := get(t, c, tt.shows); f.hit() == tt.ends {
				t.Errorf("%s: after the write it is %s", tt.rule, f.how())
			}
			synctest.Wait()
			d.shows = 0
			if f := get(t, c, tt.shows); f.hit() == tt.waits {
				t.Errorf("%s: G6: a replica showed it that may not have seen the write: %s", tt.rule, f.how())
			}
			synctest.Wait()
			time.Sleep(time.Second)
			said()
			get(t, c, tt.shows)
			if f := get(t, c, tt.shows); !f.hit() {
				t.Errorf("%s: the notice must have come, and it is %s", tt.rule, f.how())
			}
		})
	}
}

// An own write ends what embeds its target, as the notice of it will.
func TestOwnWriteReachesWhatEmbedsIt(t *testing.T) { // G6
	synctest.Test(t, func(t *testing.T) {
		const order = "https://api.example/orders/9"
		c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Cache-Groups", `"/restaurants/203"`}}).handle), nil)
		get(t, c, order)
		get(t, c, order).expect(t, "version 1", true, "stored")
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, order).expect(t, "version 2", false, "G6: it embeds what was written")
	})
}

// Once notices were missed, the version that the last one named is history, and
// what is there instead is kept again.
func TestNamedVersionIsHistoryOnceNoticesWereMissed(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		c, _, doc, s := live(t)
		doc.set(2)
		c.Apply(Change{URL: testURL, ETag: `"v2"`, Scope: "restaurants"})
		doc.set(3)
		time.Sleep(time.Second)
		s.Reset() // the notice of version 3 was missed
		s.Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 3", false, "G4: a replica may still show what was before the version that was named a second ago")
		time.Sleep(lagTime)
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 3", true, "G3: vouched for again")
	})
}

// Of writes that overlap nobody knows which one came last. What the last answer says
// is there now may be what the first one has replaced since, as a replica shows it.
func TestWritesThatOverlap(t *testing.T) { // G6
	for name, announced := range map[string]bool{"before any notice": false, "after the notice of one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &written{version: 1, names: true, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`}}
				slow := make(chan struct{})
				c := New(newOrigin(func(req *http.Request) *http.Response {
					resp := d.handle(req)
					if req.Method == http.MethodDelete {
						d.version = 1 // numbers go on
						<-slow
					}
					return resp
				}), nil)
				s := c.Scope("restaurants")
				s.Heard(time.Now())
				s.Vouch(time.Now().Add(time.Hour))
				time.Sleep(time.Second)

				deleted := make(chan struct{})
				go func() {
					defer close(deleted)
					fetch(c, newRequest(t, http.MethodDelete, testURL))
				}()
				synctest.Wait()
				fetch(c, newRequest(t, http.MethodPut, testURL)) // of what was deleted: version 2
				if announced {
					c.Apply(Change{URL: testURL, Scope: "restaurants", ETag: d.tag(2)})
				}
				close(slow)
				<-deleted

				was := *d
				d.version, d.shows = 0, 0
				get(t, c, testURL).expect(t, "", false, "the replica hasn't seen the second write")
				*d = was
				get(t, c, testURL).expect(t, "version 2", false, "G6: what the first of two writes left was reused after the second")
				s.Heard(time.Now().Add(time.Second))
				get(t, c, testURL).expect(t, "version 2", false, "it was asked for before every change had been heard of")
				get(t, c, testURL).expect(t, "version 2", true, "and it was asked for since")
			})
		})
	}
}

// A notice of a change from before an own write may name just what a replica shows
// that hasn't seen the write.
func TestANoticeFromBeforeAnOwnWrite(t *testing.T) { // G6
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`}}
		c := New(newOrigin(d.handle), nil)
		s := c.Scope("restaurants")
		s.Heard(time.Now())
		s.Vouch(time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		d.version = 2 // by somebody else
		fetch(c, newRequest(t, http.MethodPut, testURL))
		d.shows = 2
		get(t, c, testURL).expect(t, "version 2", false, "the replica hasn't seen the write")
		c.Apply(Change{URL: testURL, Scope: "restaurants", ETag: d.tag(2)})
		d.shows = 0
		get(t, c, testURL).expect(t, "version 3", false, "G6: the notice was of what somebody else had done before")
	})
}

// announcedTopic is a topic that is heard of by hand, with a document in it that is
// written. The next second is the caller's to wait for.
func announcedTopic(t *testing.T, d *written) (*Transport, *fakeOrigin, *Scope) {
	t.Helper()
	d.version, d.fields = 1, []string{"Cache-Control", `max-age=60, resn="restaurants"`}
	o := newOrigin(d.handle)
	c := New(o, nil)
	s := c.Scope("restaurants")
	s.Heard(time.Now())
	s.Vouch(time.Now().Add(time.Hour))
	return c, o, s
}

// Once the notice of an own write has come, nothing is asked for without need, and
// nothing that came between is believed.
func TestOwnWriteAndItsNotice(t *testing.T) { // G6
	notice := func(c *Transport, d *written, v int) {
		c.Apply(Change{URL: testURL, Scope: "restaurants", ETag: d.tag(v)})
	}
	synctest.Test(t, func(t *testing.T) {
		d := &written{names: true}
		c, o, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		gate := make(chan struct{})
		o.setGate(gate)
		go func() {
			synctest.Wait()
			notice(c, d, 2)
			close(gate)
		}()
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", true, "its notice was faster than its answer")
		d.version = 3
		notice(c, d, 3)
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 3", true, "the write was announced, so the next notice is of a later change")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{}
		c, _, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		fetch(c, newRequest(t, http.MethodDelete, testURL))
		c.Apply(Change{URL: testURL, Scope: "restaurants", Gone: true})
		d.version = 3
		notice(c, d, 3)
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 3", true, "the deletion was announced, so the next notice is of a later change")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{names: true}
		c, _, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		d.version = 3
		notice(c, d, 3)
		d.shows = 2
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", false, "G4: what the write made is over since another version was named")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{names: true}
		c, _, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		notice(c, d, 1)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", true, "what its answer named is later than what a notice has named before")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{}
		c, _, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		notice(c, d, 1)
		d.shows = 1
		get(t, c, testURL)
		d.shows = 0
		get(t, c, testURL).expect(t, "version 2", false, "G6: a notice from before the write doesn't say that it was seen")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{}
		c, _, s := announcedTopic(t, d)
		time.Sleep(time.Second)
		notice(c, d, 1)
		s.Suspend()
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL)
		get(t, c, testURL).expect(t, "version 2", true, "nobody listens, so nobody would say that what was named is over")
	})
	synctest.Test(t, func(t *testing.T) {
		d := &written{names: true}
		c, _, _ := announcedTopic(t, d)
		time.Sleep(time.Second)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		c.Apply(Change{URL: testURL + "?x=1", Scope: "restaurants", ETag: d.tag(2)})
		d.shows = 1
		get(t, c, testURL)
		d.shows = 0
		get(t, c, testURL).expect(t, "version 2", false, "G6: a notice of another query isn't its notice")
	})
}

// The last of several own writes counts for what shows them.
func TestOwnWritesInAList(t *testing.T) { // G6
	synctest.Test(t, func(t *testing.T) {
		const list = "https://api.example/restaurants"
		d := &written{}
		c, _, s := announcedTopic(t, d)
		time.Sleep(time.Second)
		d.fields = append(d.fields, "Cache-Groups", `"restaurants"`)
		get(t, c, list)
		get(t, c, testURL)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		first := time.Now()
		time.Sleep(time.Second)
		get(t, c, testURL)
		fetch(c, newRequest(t, http.MethodPut, testURL))
		s.Heard(first.Add(time.Millisecond))
		d.shows = 2
		get(t, c, list)
		d.shows = 0
		get(t, c, list).expect(t, "version 3", false, "G6: only the first write has been heard of")
	})
}

// An outcome that isn't known may be a change, and one that isn't there yet deletes
// nothing.
func TestOutcomesOfWrites(t *testing.T) { // G6
	for _, tt := range []struct {
		method string
		status int
		ends   bool
	}{
		{"PUT", 200, true}, {"PUT", 303, true}, {"PUT", 400, false}, {"PUT", 500, false},
		{"PUT", 502, true}, {"PUT", 504, true}, {"PUT", 503, false},
	} {
		c := New(newOrigin(func(req *http.Request) *http.Response {
			if req.Method != http.MethodGet {
				return reply(tt.status, "")
			}
			return reply(200, "x", "Cache-Control", "max-age=60")
		}), nil)
		get(t, c, testURL)
		fetch(c, newRequest(t, tt.method, testURL))
		get(t, c, testURL).expect(t, "x", !tt.ends, tt.method+" answered with "+strconv.Itoa(tt.status))
	}
	c := New(newOrigin(func(req *http.Request) *http.Response {
		if req.Method == http.MethodDelete {
			return reply(202, "")
		}
		return reply(200, "x", "Cache-Control", "max-age=60")
	}), nil)
	fetch(c, newRequest(t, http.MethodDelete, testURL))
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "x", true, "a deletion that was accepted isn't done yet")
}

// What a write's answer refers to is at the authority that was asked for.
func TestReferencesAreOfTheAuthority(t *testing.T) { // G6
	const other = "https://api.example/restaurants/204"
	c := New(newOrigin(func(req *http.Request) *http.Response {
		if req.Method != http.MethodGet {
			return reply(201, "", "Location", "/restaurants/204")
		}
		return reply(200, "x", "Cache-Control", "max-age=60")
	}), nil)
	get(t, c, other)
	req := newRequest(t, http.MethodPost, "https://10.0.0.1/restaurants")
	req.Host = "api.example"
	fetch(c, req)
	get(t, c, other).expect(t, "x", false, "G6: Location is relative to the Host that was asked for")
}

// An own write that began before all else was forgotten may have been overtaken by
// what was forgotten, so the version that its answer names need not be the last.
func TestAWriteThatOutlastsTheLedger(t *testing.T) { // G6
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, names: true, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`}}
		o := newOrigin(d.handle)
		c := New(o, &Options{MaxRecords: 1})
		s := c.Scope("restaurants")
		s.Heard(time.Now())
		s.Vouch(time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		gate := make(chan struct{})
		o.setGate(gate)
		go func() {
			synctest.Wait()
			forget(c)
			close(gate)
		}()
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL)
		d.version = 3
		get(t, c, testURL).expect(t, "version 3", false, "G6: a later change may have been forgotten while it was written")
	})
}

// A write may spell its target as it likes.
func TestWriteThatSpellsItsTarget(t *testing.T) { // G6
	d := &written{names: true}
	c := New(newOrigin(func(req *http.Request) *http.Response {
		resp := d.handle(req)
		if req.Method == http.MethodPut {
			resp.Header.Set("Content-Location", testURL)
		}
		return resp
	}), nil)
	d.version, d.fields = 1, []string{"Cache-Control", `max-age=60, resn="restaurants"`}
	c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
	fetch(c, newRequest(t, http.MethodPut, "https://api.example/x/../restaurants/203"))
	get(t, c, testURL)
	get(t, c, testURL).expect(t, "version 2", true, "it is what the write's answer named")
}
