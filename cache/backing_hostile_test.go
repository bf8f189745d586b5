package cache

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stuckBacking doesn't answer as long as its gate is there.
type stuckBacking struct {
	memoryBacking
	gate atomicGate
}

type atomicGate struct {
	mu sync.Mutex
	ch chan struct{}
}

func (g *atomicGate) set(ch chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ch = ch
}

func (g *atomicGate) pass() {
	g.mu.Lock()
	ch := g.ch
	g.mu.Unlock()
	if ch != nil {
		<-ch
	}
}

func (b *stuckBacking) Get(key string) ([]byte, bool) {
	b.gate.pass()
	return b.memoryBacking.Get(key)
}

func (b *stuckBacking) Set(key string, value []byte) {
	b.gate.pass()
	b.memoryBacking.Set(key, value)
}

func (b *stuckBacking) Delete(key string) {
	b.gate.pass()
	b.memoryBacking.Delete(key)
}

// A store that doesn't answer is a miss: nobody waits for it for ever, and a
// reader that is cancelled not even for long.
func TestBackingThatDoesNotAnswer(t *testing.T) { // G1, G5, G6
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		b := &stuckBacking{}
		gate := make(chan struct{})
		b.gate.set(gate)
		c := New(newOrigin(doc.handle), &Options{Backing: b})

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		f := fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx))
		if took := time.Since(begun); f.err == nil || took > 100*time.Millisecond {
			t.Errorf("G5: a reader that gave up after 100 ms got %v after %v", f.err, took)
		}
		begun = time.Now()
		get(t, c, testURL).expect(t, "version 1", false, "a store that doesn't answer is a miss")
		get(t, c, testURL).expect(t, "version 1", true, "memory doesn't need it")
		fetch(c, newRequest(t, http.MethodPut, testURL))
		get(t, c, testURL).expect(t, "version 2", false, "G6: a write ends what is stored, whatever the second level does")
		if took := time.Since(begun); took > 2*backingTime {
			t.Errorf("one read and one write took %v, want at most %v each", took, backingTime)
		}
		close(gate)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		evictAll(c)
		get(t, c, testURL).expect(t, "version 2", false, "G1: what came late isn't believed")
	})
}

// However many keys are asked for, what waits for such a store is bounded.
func TestBackingThatDoesNotAnswerIsLeftAlone(t *testing.T) { // G7
	synctest.Test(t, func(t *testing.T) {
		b := &stuckBacking{}
		gate := make(chan struct{})
		b.gate.set(gate)
		c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}).handle), &Options{Backing: b})
		var all sync.WaitGroup
		for i := range 2 * maxBackingCalls {
			all.Go(func() { get(t, c, testURL+"?"+strings.Repeat("x", i)) })
		}
		all.Wait()
		synctest.Wait()
		c.backing.mu.Lock()
		calls, reading := c.backing.calls, len(c.backing.reading)
		c.backing.mu.Unlock()
		if calls > maxBackingCalls || reading > maxBackingCalls {
			t.Errorf("%d calls under way, %d reads, want at most %d", calls, reading, maxBackingCalls)
		}
		close(gate)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c.backing.calls != 0 || len(c.backing.reading) != 0 {
			t.Errorf("%d calls, %d reads after the store has answered", c.backing.calls, len(c.backing.reading))
		}
	})
}

// What isn't kept in memory because a newer version was seen doesn't come back
// from the second level.
func TestBackingDoesNotBringBackWhatWasSeenToBeOld(t *testing.T) {
	for name, see := range map[string]func(t *testing.T, c *Transport, doc *versioned){
		"HEAD": func(t *testing.T, c *Transport, _ *versioned) {
			fetch(c, newRequest(t, http.MethodHead, testURL, "Cache-Control", "no-cache"))
		},
		"If-Match": func(t *testing.T, c *Transport, _ *versioned) { get(t, c, testURL, "If-Match", `"v2"`) },
		"no-store": func(t *testing.T, c *Transport, doc *versioned) {
			doc.fields = []string{"Cache-Control", "no-store"}
			get(t, c, testURL, "Cache-Control", "no-cache")
		},
		"304 with no-store": func(t *testing.T, c *Transport, doc *versioned) {
			doc.version, doc.fields = 1, []string{"Cache-Control", "no-store"}
			get(t, c, testURL, "Cache-Control", "no-cache")
			doc.version = 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
				c := New(newOrigin(doc.handle), &Options{Backing: &memoryBacking{}})
				get(t, c, testURL)
				synctest.Wait()
				doc.set(2)
				see(t, c, doc)
				get(t, c, testURL).expect(t, "version 2", false, "a newer version was seen, or the origin wants it forgotten")
			})
		})
	}
}

// Another life of the process doesn't believe what this one wouldn't have.
func TestBackingKeepsWhatWasOvertakenAsStale(t *testing.T) { // G2, G4
	for name, late := range map[string]string{"overtaken": "", "another version than the one named": `"v2"`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
				o := newOrigin(doc.handle)
				b := &memoryBacking{}
				c := New(o, &Options{Backing: b})
				c.Apply(Change{URL: testURL, ETag: late}) // a replica goes on to show version 1
				gate := make(chan struct{})
				o.setGate(gate)
				go fetch(c, newRequest(t, http.MethodGet, testURL))
				synctest.Wait()
				if late == "" {
					c.Apply(Change{URL: testURL})
				}
				close(gate)
				synctest.Wait()
				o.setGate(nil)
				doc.set(2)
				next := New(o, &Options{Backing: b})
				get(t, next, testURL).expect(t, "version 2", false, "it was stored for its ETag only")
				if got := o.last().Header.Get("If-None-Match"); got != `"v1"` {
					t.Errorf("asked about %q, want the version that the second level has", got)
				}
			})
		})
	}
}

// Numbers that no clock gives.
func TestBackingWithAnAgeThatOverflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		b := &memoryBacking{}
		c := New(newOrigin(doc.handle), &Options{Backing: b})
		get(t, c, testURL)
		synctest.Wait()
		var e *entry
		c.store.each(func(one *entry) { e = one })
		e.birth = -1<<63 + 1
		c.backing.store.Set(backingKey(e.key()), c.backing.encode(e))
		doc.set(2)
		next := New(newOrigin(doc.handle), &Options{Backing: b})
		get(t, next, testURL).expect(t, "version 2", false, "so long ago that the age overflows is very old")
	})
}

// FuzzSecondLevel lets a store say anything that has a good checksum, with and
// without the secret by which a Transport knows its own.
func FuzzSecondLevel(f *testing.F) {
	seed := New(newOrigin(func(*http.Request) *http.Response {
		return reply(200, "hello", "Cache-Control", `max-age=5, resn="r"`, "Vary", "Accept", "ETag", `"x"`, "Cache-Groups", `"g"`)
	}), &Options{Backing: &memoryBacking{}})
	get(f, seed, testURL, "Accept", "a")
	var good []byte
	seed.store.each(func(e *entry) { good = seed.backing.encode(e) })
	_, w := binary.Uvarint(good)
	f.Add(good[w+len(backingMagic)+16:len(good)-4], true, true)
	f.Add(good[w+len(backingMagic)+16:len(good)-4], false, false)
	f.Fuzz(func(t *testing.T, b []byte, own, live bool) {
		o := newOrigin(func(*http.Request) *http.Response { return reply(200, "from the origin") })
		store := &memoryBacking{}
		c := New(o, &Options{Backing: store})
		if live {
			c.Scope("r").Vouch(time.Now().Add(time.Hour))
		}
		image := []byte(backingMagic)
		if own {
			image = append(image, c.backing.self[:]...)
		} else {
			image = append(image, make([]byte, 16)...)
		}
		image = append(image, b...)
		image = binary.LittleEndian.AppendUint32(image, crc32.ChecksumIEEE(image))
		a, _ := c.newAsk(newRequest(t, http.MethodGet, testURL))
		store.Set(backingKey(a.key), append(binary.AppendUvarint(nil, uint64(len(image))), image...))
		for _, fields := range [][]string{{"Accept", "a"}, {"Accept", "a", "Range", "bytes=1-2"}, {"Cache-Control", "max-stale"}, {"If-None-Match", `"x"`}} {
			resp := get(t, c, testURL, fields...)
			if age, err := strconv.ParseInt(resp.header.Get("Age"), 10, 64); resp.hit() && (err != nil || age < 0) {
				t.Errorf("Age %q (%s)", resp.header["Age"], resp.how())
			}
		}
		c.Inspect(testURL)
		c.Invalidate(testURL)
		if resp := get(t, c, testURL, "Accept", "a"); resp.hit() {
			t.Errorf("G1: got %q (%s) after a notice", resp.body, resp.how())
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A store that mixes up its keys.
func TestBackingThatGivesSomebodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBacking{}
		c := New(newOrigin(func(req *http.Request) *http.Response {
			return reply(200, req.URL.Path, "Cache-Control", "max-age=60")
		}), &Options{Backing: b})
		const one, other = "https://api.example/one", "https://api.example/other"
		get(t, c, one)
		synctest.Wait()
		value, _ := b.Get(backingKey(one))
		b.Set(backingKey(other), value)
		get(t, c, other).expect(t, "/other", false, "an image has its key in it")
		if n := c.Stats().Entries; n != 2 {
			t.Errorf("%d responses are stored, want what was asked for", n)
		}
	})
}

// One key's variants are bounded there, too.
func TestBackingVariantsAreBounded(t *testing.T) { // G7
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBacking{}
		c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Vary", "X"}}).handle), &Options{Backing: b})
		for i := range 3 * maxBackingVariants {
			get(t, c, testURL, "X", strconv.Itoa(i))
			synctest.Wait()
		}
		value, _ := b.Get(backingKey(testURL))
		n := 0
		for range images(value) {
			n++
		}
		if n != maxBackingVariants {
			t.Errorf("%d variants in the second level, want %d", n, maxBackingVariants)
		}
	})
}

// Writes may come to the second level in another order than to memory.
func TestBackingKeepsTheLaterQuestionsAnswer(t *testing.T) {
	doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
	b := &memoryBacking{}
	c := New(newOrigin(doc.handle), &Options{Backing: b})
	stored := func() (e *entry) {
		c.store.each(func(one *entry) { e = one })
		return e
	}
	get(t, c, testURL)
	old := stored()
	doc.set(2)
	get(t, c, testURL, "Cache-Control", "no-cache")
	for _, e := range []*entry{stored(), old} {
		c.backing.write(e)
	}
	value, _ := b.Get(backingKey(testURL))
	for one := range images(value) {
		if s, ok := decodeImage(one); !ok || s.body != "version 2" {
			t.Errorf("the second level has %q, want version 2 only", s.body)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// Another life of the process, or another one, doesn't find what a write has ended
// (section 4.4), nor what is longer than it keeps.
func TestBackingAfterAWriteAndARestart(t *testing.T) { // G6, G7
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		b := &memoryBacking{}
		c := New(newOrigin(doc.handle), &Options{Backing: b})
		get(t, c, testURL)
		synctest.Wait()
		small := New(newOrigin(doc.handle), &Options{Backing: b, MaxEntryBytes: 5})
		get(t, small, testURL).expect(t, "version 1", false, "it is longer than the five bytes that this one keeps")
		fetch(c, newRequest(t, http.MethodPut, testURL))
		next := New(newOrigin(doc.handle), &Options{Backing: b})
		get(t, next, testURL).expect(t, "version 2", false, "a write ended it")
	})
}
