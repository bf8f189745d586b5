package cache

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memoryBacking has the method set of gregjones/httpcache.Cache.
type memoryBacking struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (b *memoryBacking) Get(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.m[key]
	return v, ok
}

func (b *memoryBacking) Set(key string, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[string][]byte{}
	}
	b.m[key] = value
}

func (b *memoryBacking) Delete(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
}

// evictAll empties memory as if all was evicted.
func evictAll(c *Transport) {
	var all []*entry
	c.store.each(func(e *entry) { all = append(all, e) })
	for _, e := range all {
		c.store.remove(e)
	}
}

func TestBackingAnswersAfterEvictionAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=60, resn="restaurants"`, "Vary", "Accept, X", "Cache-Groups", `"g"`}}
		o := newOrigin(doc.handle)
		b := &memoryBacking{}
		c := New(o, &Options{Backing: b})
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		for _, accept := range []string{"a", "b", "a"} {
			get(t, c, testURL, "Accept", accept)
		}
		synctest.Wait()
		if o.count() != 2 {
			t.Fatalf("%d questions, want one for each variant", o.count())
		}
		evictAll(c)
		time.Sleep(10 * time.Minute)
		for _, accept := range []string{"a", "b"} {
			get(t, c, testURL, "Accept", accept).expect(t, "version 1", true, "evicted, still vouched for: this Transport heard every notice")
		}
		get(t, c, testURL, "Accept", "c").expect(t, "version 1", false, "a variant that isn't there")
		synctest.Wait()

		next := New(o, &Options{Backing: b})
		next.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		get(t, next, testURL, "Accept", "c").expect(t, "version 1", true, "after a restart: ordinary freshness")
		f := get(t, next, testURL, "Accept", "a")
		f.expect(t, "version 1", false, "G3: after a restart nobody knows what was missed")
		synctest.Wait()
		if o.last().Header.Get("If-None-Match") != `"v1"` {
			t.Error("the second level's validator isn't used")
		}
		get(t, next, testURL, "Accept", "a").expect(t, "version 1", true, "validated")
	})
}

func TestBackingObeysNotices(t *testing.T) {
	for name, notice := range map[string]func(c *Transport){
		"resource": func(c *Transport) { c.Apply(Change{URL: testURL}) },
		"group":    func(c *Transport) { c.InvalidateGroup("https://api.example", "g") },
		"origin":   func(c *Transport) { c.InvalidateOrigin("https://api.example") },
		"prefix":   func(c *Transport) { c.InvalidatePrefix("https://api.example/rest") },
		"all":      func(c *Transport) { c.InvalidateAll() },
		"put":      func(c *Transport) { fetch(c, newRequest(t, http.MethodPut, testURL)) },
		"forgotten": func(c *Transport) {
			c.Apply(Change{URL: testURL})
			for i := range 10000 {
				c.Invalidate(fmt.Sprintf("https://api.example/%d", i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600", "Cache-Groups", `"g"`}}
				b := &memoryBacking{}
				c := New(newOrigin(doc.handle), &Options{Backing: b, MaxRecords: 256})
				other := New(newOrigin(doc.handle), &Options{Backing: b, MaxRecords: 256})
				get(t, c, testURL)
				synctest.Wait()
				evictAll(c)
				notice(c)
				if name != "put" {
					doc.set(2)
					notice(other)
				}
				get(t, c, testURL).expect(t, "version 2", false, "G1: a notice counts for what only the second level has")
				synctest.Wait()
				evictAll(c)
				get(t, c, testURL).expect(t, "version 2", true, "the new version is there")
				if name != "put" && name != "forgotten" {
					get(t, other, testURL).expect(t, "version 2", false, "G1: another process's fill may be older than the notice")
				}
			})
		})
	}
}

// slowBacking counts reads, each of which takes a second.
type slowBacking struct {
	memoryBacking
	reads atomic.Int64
}

func (b *slowBacking) Get(key string) ([]byte, bool) {
	b.reads.Add(1)
	<-time.After(time.Second) // of the bubble
	return b.memoryBacking.Get(key)
}

func TestBackingIsAskedOnce(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		b := &slowBacking{}
		c := New(newOrigin(doc.handle), &Options{Backing: b})
		get(t, c, testURL)
		synctest.Wait()
		time.Sleep(2 * time.Second) // for the write
		evictAll(c)
		before := b.reads.Load()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { get(t, c, testURL).expect(t, "version 1", true, "it is in the second level") })
		}
		wg.Wait()
		if n := b.reads.Load() - before; n != 1 {
			t.Errorf("G5: 100 readers asked the second level %d times", n)
		}
	})
}

func TestBackingThatIsWrongIsAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		b := &memoryBacking{}
		var log bytes.Buffer
		c := New(newOrigin(doc.handle), &Options{Backing: b, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		get(t, c, testURL)
		synctest.Wait()
		key := slices.Collect(maps.Keys(b.m))[0]
		good := b.m[key]
		for i := range good {
			for name, bad := range map[string][]byte{
				"truncated": good[:i],
				"corrupted": append(append(slices.Clone(good[:i]), good[i]^0x40), good[i+1:]...),
			} {
				b.Set(key, bad)
				evictAll(c)
				if f := get(t, c, testURL); f.hit() || f.body != "version 1" {
					t.Fatalf("%s at %d of %d: got %q (%s), want a miss", name, i, len(good), f.body, f.how())
				}
				synctest.Wait()
			}
		}
		b.Set(key, []byte("HTTP/1.1 200 OK\r\n\r\nsomebody else's"))
		evictAll(c)
		get(t, c, testURL).expect(t, "version 1", false, "foreign bytes")
		if log.Len() == 0 {
			t.Error("nobody was told of what is wrong with the second level")
		}
	})
}

func FuzzDecodeImage(f *testing.F) {
	c := New(nil, nil)
	s := newSecondLevel(nil, c.ledger)
	a, _ := c.newAsk(newRequest(f, http.MethodGet, testURL))
	fl, _ := c.newFill(f.Context(), a, nil)
	fl.received = time.Now()
	resp := reply(200, "hello", "Cache-Control", "max-age=5", "Vary", "Accept", "ETag", `"x"`)
	defer func() { _ = resp.Body.Close() }()
	ans, _ := fl.read(resp, resp.Header)
	good := s.encode(fl.entry(ans, "hello", nil, false))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("\x04swal"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for image := range images(b) {
			if i, ok := decodeImage(image); ok {
				_ = i.vary()
				i.matches(http.Header{"Accept": {"x"}})
			}
		}
	})
}
