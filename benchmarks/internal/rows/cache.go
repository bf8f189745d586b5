package rows

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	fork "github.com/gohugoio/httpcache"
	"github.com/gregjones/httpcache"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/cache"
)

func cacheRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "cache.hit.vs_gregjones", Unit: "x", Bound: ratio.AtMost(0.1),
			Note: "a hit of 1 KB with its body read, against gregjones/httpcache over its memory",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, theirs, err := warm(ctx, cache.New(newStub(oneKB()), nil), gregjones())
				return ratio.Versus(ours, theirs), nil, err
			},
		},
		{
			Name: "cache.hit.vs_gohugoio", Unit: "x",
			Note: "the same hit, against gohugoio/httpcache, the fork that is maintained, over the same memory",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				theirs := &fork.Transport{Transport: newStub(oneKB()), Cache: httpcache.NewMemoryCache()}
				ours, other, err := warm(ctx, cache.New(newStub(oneKB()), nil), theirs)
				return ratio.Versus(ours, other), nil, err
			},
		},
		{
			Name: "cache.hit.vs_minimal", Unit: "x", Bound: ratio.AtMost(1),
			Note: "the same hit, against the least that a RoundTripper with a map can do",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, theirs, err := warm(ctx, cache.New(newStub(oneKB()), nil), newMinimal())
				return ratio.Versus(ours, theirs), nil, err
			},
		},
		{
			Name: "cache.hit.floor_vs_gregjones", Unit: "x",
			Note: "no cache at all, only a response of its own with the seven fields that a hit has: what is left of a tenth",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, theirs, err := warm(ctx, newFloor(), gregjones())
				return ratio.Versus(ours, theirs), nil, err
			},
		},
		{
			Name: "cache.hit.allocs", Unit: "allocs", Bound: ratio.AtMost(6),
			Note: "heap objects of the same hit",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, _, err := warm(ctx, cache.New(newStub(oneKB()), nil), nil)
				return func() (float64, error) { return ratio.Allocs(ours) }, nil, err
			},
		},
		{
			Name: "cache.hit_parallel.vs_gregjones", Unit: "x", Bound: ratio.AtMost(0.1),
			Note: "the same hit on every core at once, against gregjones/httpcache",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, theirs, err := warm(ctx, cache.New(newStub(oneKB()), nil), gregjones())
				return ratio.VersusParallel(ours, theirs), nil, err
			},
		},
		{
			Name: "cache.bytes_per_payload_byte", Unit: "x", Bound: ratio.AtMost(1.35),
			Note: "heap that 100,000 entries of 1 KB hold, per byte of their bodies",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				return func() (float64, error) { return bytesPerByte(ctx) }, nil, nil
			},
		},
	}
}

// warm fills both transports and returns their hits as operations that any
// number of goroutines may run.
func warm(ctx context.Context, ours, theirs http.RoundTripper) (ratio.Op, ratio.Op, error) {
	hit := func(rt http.RoundTripper) (ratio.Op, error) {
		if rt == nil {
			return nil, nil
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://origin.example/restaurants/203", nil)
		if err != nil {
			return nil, err
		}
		type state struct {
			req *http.Request
			buf []byte
		}
		pool := sync.Pool{New: func() any { return &state{req.Clone(ctx), make([]byte, 2048)} }}
		op := func() error {
			s := pool.Get().(*state)
			defer pool.Put(s)
			return fetch(rt, s.req, s.buf)
		}
		return op, op()
	}
	a, err := hit(ours)
	if err != nil {
		return nil, nil, err
	}
	b, err := hit(theirs)
	return a, b, err
}

func gregjones() http.RoundTripper {
	t := httpcache.NewMemoryCacheTransport()
	t.Transport = newStub(oneKB())
	return t
}

// minimal is the floor: it formats the URL, looks it up, clones the header,
// and checks nothing.
type minimal struct {
	mu     sync.RWMutex
	stored map[string]*stub
}

func newMinimal() *minimal {
	return &minimal{stored: map[string]*stub{"http://origin.example/restaurants/203": newStub(oneKB())}}
}

func (m *minimal) RoundTrip(req *http.Request) (*http.Response, error) {
	key := req.URL.String()
	m.mu.RLock()
	s := m.stored[key]
	m.mu.RUnlock()
	if s == nil {
		return nil, fmt.Errorf("%s isn't stored", key)
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.header.Clone(), ContentLength: int64(len(s.body)), Request: req,
		Body: io.NopCloser(bytes.NewReader(s.body)),
	}, nil
}

// floor looks nothing up. It makes what a caller owns after a hit, in as few
// pieces as Go has for it: a map, its one group, and the rest in one.
type floor struct {
	fields [7]struct{ name, value string }
	body   string
}

type floorResponse struct {
	resp http.Response
	body floorBody
	vals [7]string
}

type floorBody struct{ rest string }

func (b *floorBody) Close() error { return nil }

func (b *floorBody) Read(p []byte) (int, error) {
	if b.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func newFloor() *floor {
	f := &floor{body: string(oneKB())}
	i := 0
	h := newStub(oneKB()).header.Clone()
	for _, name := range []string{"Date", "Age", "Cache-Status"} {
		h.Set(name, "x")
	}
	for name, values := range h {
		f.fields[i].name, f.fields[i].value = name, values[0]
		i++
	}
	return f
}

func (f *floor) RoundTrip(req *http.Request) (*http.Response, error) {
	out := &floorResponse{body: floorBody{rest: f.body}}
	h := make(http.Header, len(f.fields))
	for i := range f.fields {
		out.vals[i] = f.fields[i].value
		h[f.fields[i].name] = out.vals[i : i+1 : i+1]
	}
	r := &out.resp
	r.Status, r.StatusCode = "200 OK", http.StatusOK
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header, r.ContentLength, r.Request, r.Body = h, int64(len(f.body)), req, &out.body
	return r, nil
}

// bytesPerByte fills a cache and weighs the heap with and without it.
func bytesPerByte(ctx context.Context) (float64, error) {
	const entries = 100_000
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rt := cache.New(newStub(oneKB()), &cache.Options{MaxBytes: 1 << 30})
	buf := make([]byte, 2048)
	for i := range entries {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://origin.example/restaurants/"+strconv.Itoa(i), nil)
		if err != nil {
			return 0, err
		}
		if err := fetch(rt, req, buf); err != nil {
			return 0, err
		}
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Every entry is still there, or the figure would flatter.
	for _, i := range []int{0, entries / 2, entries - 1} {
		url := "http://origin.example/restaurants/" + strconv.Itoa(i)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Cache-Control", "only-if-cached")
		if err := fetch(rt, req, buf); err != nil {
			return 0, fmt.Errorf("%s: %w", url, err)
		}
	}
	runtime.KeepAlive(rt)
	return (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / (entries * 1024), rt.Close()
}
