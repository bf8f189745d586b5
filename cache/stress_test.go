package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStress lets readers, writers, notices, cancellations and evictions run
// free on all processors, for the race detector and for what a schedule of
// whole steps doesn't reach. Whoever starts to read after a notice was applied
// must not see an older version.
func TestStress(t *testing.T) {
	const documents = 20
	var truth, told [documents]atomic.Int64
	o := newOrigin(func(req *http.Request) *http.Response {
		i, _ := strconv.Atoi(req.URL.Path[1:])
		v := truth[i].Load()
		tag := fmt.Sprintf(`"%d"`, v)
		fields := []string{"Cache-Control", `max-age=0, resn="docs"`, "ETag", tag, "Vary", "Accept", "Cache-Groups", `"list"`}
		if req.Header.Get("If-None-Match") == tag {
			return reply(304, "", fields...)
		}
		return reply(200, fmt.Sprintf("%d %s", v, strings.Repeat("x", 2000)), fields...)
	})
	b := &memoryBacking{}
	c := New(http.RoundTripper(roundTripper(func(req *http.Request) (*http.Response, error) {
		resp := o.handle(req)
		if req.Context().Err() != nil {
			return nil, req.Context().Err()
		}
		return resp, nil
	})), &Options{MaxBytes: 30 << 10, MaxRecords: 32, Backing: b})
	s := c.Scope("docs")
	s.Vouch(time.Now().Add(time.Hour))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var reads, hits atomic.Int64
	for range 6 {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := rand.IntN(documents)
				least := told[i].Load()
				rctx, stop := context.WithCancel(context.Background())
				if rand.IntN(10) == 0 {
					go stop()
				}
				req := newRequest(t, http.MethodGet, fmt.Sprintf("https://api.example/%d", i), "Accept", strconv.Itoa(rand.IntN(2)))
				f := fetch(c, req.WithContext(rctx))
				stop()
				if f.err != nil {
					continue
				}
				version, _, _ := strings.Cut(f.body, " ")
				if got, _ := strconv.ParseInt(version, 10, 64); got < least {
					t.Errorf("G1: document %d had version %d when the read began, which brought %d (%s)", i, least, got, f.how())
					return
				}
				reads.Add(1)
				if f.hit() {
					hits.Add(1)
				}
			}
		})
	}
	var writing sync.Mutex
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := rand.IntN(documents)
				writing.Lock() // notices of a document come in order
				v := truth[i].Add(1)
				switch rand.IntN(5) {
				case 0:
					c.Invalidate(fmt.Sprintf("https://api.example/%d", i))
				case 1:
					c.InvalidateGroup("https://api.example", "list")
				case 2:
					c.InvalidatePrefix(fmt.Sprintf("https://api.example/%d", i))
				default:
					c.Apply(Change{URL: fmt.Sprintf("https://api.example/%d", i), ETag: fmt.Sprintf(`"%d"`, v), Scope: "docs"})
				}
				told[i].Store(v)
				if rand.IntN(50) == 0 {
					s.Reset()
					s.Vouch(time.Now().Add(time.Hour))
				}
				writing.Unlock()
				<-time.After(time.Duration(rand.IntN(200)) * time.Microsecond)
			}
		})
	}
	<-time.After(time.Second) // or longer, on a machine that hasn't got to anything yet
	for ctx.Err() == nil && (hits.Load() == 0 || c.Stats().Evictions == 0) {
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	waitIdle(t, c)
	if hits.Load() == 0 || c.Stats().Evictions == 0 {
		t.Errorf("%d reads, %d hits, %d evictions: nothing was put to the test", reads.Load(), hits.Load(), c.Stats().Evictions)
	}
	c.InvalidateAll()
	evictAll(c)
	if n := c.Stats().Bytes; n != 0 {
		t.Errorf("with nothing stored %d bytes are accounted for", n)
	}
	if n := c.ledger.remembered(); n > 32 {
		t.Errorf("G7: with nothing stored %d records are kept, want at most 32", n)
	}
	c.ledger.origins.mu.Lock()
	defer c.ledger.origins.mu.Unlock()
	if n := len(c.ledger.origins.byName); n > 1 {
		t.Errorf("%d origins are kept", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
