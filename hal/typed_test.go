package hal_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/hal"
)

// keeper is a transport that keeps decoded values, as a cache does.
type keeper struct {
	mu     sync.RWMutex
	bodies map[string]string
	kept   map[string]any
	typs   map[string]any
	trips  int
	once   int
}

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trips++
	href := r.URL.String()
	body, ok := k.bodies[href]
	if !ok {
		return nil, errors.New("no route to " + href)
	}
	return &http.Response{
		StatusCode: 200, Status: "200 OK", Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {hal.HALType}, "Etag": {`"v1"`}},
		Body:   &keptBody{Reader: strings.NewReader(body), k: k, href: href, body: body},
	}, nil
}

func (k *keeper) LoadTyped(_ context.Context, href string, header http.Header, typ any) (any, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.kept[href]
	return v, ok && k.typs[href] == typ && len(header["Accept"]) == 1
}

type keptBody struct {
	io.Reader
	k          *keeper
	href, body string
}

func (b *keptBody) Close() error { return nil }

func (b *keptBody) DecodeOnce(typ any, decode func([]byte) (any, error)) (any, error) {
	b.k.mu.Lock()
	defer b.k.mu.Unlock()
	if v, ok := b.k.kept[b.href]; ok && b.k.typs[b.href] == typ {
		return v, nil
	}
	b.k.once++
	v, err := decode([]byte(b.body))
	if err == nil {
		b.k.kept[b.href], b.k.typs[b.href] = v, typ
	}
	return v, err
}

func newKeeper() *keeper {
	return &keeper{bodies: map[string]string{}, kept: map[string]any{}, typs: map[string]any{}}
}

func TestTypedHitsAreShared(t *testing.T) {
	k := newKeeper()
	k.bodies["https://api.example/r/1"] = `{"_links":{"self":{"href":"/r/1"}},"id":"1","name":"One"}`
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k, Timeout: time.Minute}})
	first, err := hal.Get[restaurant](t.Context(), c, "https://api.example/r/1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := hal.Get[restaurant](t.Context(), c, "https://api.example/r/1")
	if err != nil {
		t.Fatal(err)
	}
	if first != second || k.trips != 1 || k.once != 1 {
		t.Errorf("one stored version is decoded once and shared: %p %p, %d requests, %d decodings", first, second, k.trips, k.once)
	}
	other, err := hal.Get[map[string]any](t.Context(), c, "https://api.example/r/1")
	if err != nil || other.Value["name"] != "One" {
		t.Errorf("another type is another decoded form: %+v, %v", other, err)
	}
}

func TestATypedHitAllocatesNothing(t *testing.T) {
	k := newKeeper()
	k.bodies["https://api.example/r/1"] = `{"id":"1"}`
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}})
	ctx := t.Context()
	if _, err := hal.Get[restaurant](ctx, c, "https://api.example/r/1"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = hal.Get[restaurant](ctx, c, "https://api.example/r/1")
	}); n > 0 {
		t.Errorf("a typed hit costs hal %v allocations; it must leave the one that is allowed to the cache", n)
	}
	c = hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}, Base: "https://api.example/v1/"})
	if n := testing.AllocsPerRun(100, func() {
		if _, err := hal.Get[restaurant](ctx, c, "/r/1"); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("a typed hit by its path costs hal %v allocations, more than the URL", n)
	}
}

func TestFollowAllUsesTypedHits(t *testing.T) {
	k, list := hundred()
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}})
	from, err := hal.Get[hal.Any](t.Context(), c, list)
	if err != nil {
		t.Fatal(err)
	}
	hal.FollowAll[restaurant](t.Context(), c, from, "item")
	trips := k.trips
	for _, r := range hal.FollowAll[restaurant](t.Context(), c, from, "item") {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if k.trips != trips {
		t.Errorf("%d requests for warm items; they must all be typed hits", k.trips-trips)
	}
}

func TestSharedResourcesAreSafe(t *testing.T) {
	k, list := hundred()
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			from, err := hal.Get[hal.Any](t.Context(), c, list)
			if err != nil {
				t.Error(err)
				return
			}
			if n := len(from.Links().All("item")); n != 100 {
				t.Errorf("%d links", n)
			}
			for _, r := range hal.FollowAll[restaurant](t.Context(), c, from, "item") {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTypedHitsKeepToTheHosts(t *testing.T) {
	k := newKeeper()
	k.bodies["https://api.example/"] = `{"_links":{"far":{"href":"https://far.example/1"}}}`
	k.bodies["https://far.example/1"] = `{"id":"1"}`
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}})
	ctx := t.Context()
	if _, err := hal.Get[restaurant](ctx, c, "https://far.example/1"); err != nil {
		t.Fatal(err)
	}
	root, err := hal.Get[hal.Any](ctx, c, "https://api.example/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hal.Follow[restaurant](ctx, c, root, "far"); !errors.Is(err, hal.ErrHost) {
		t.Errorf("what a cache holds is no way around the allowed hosts: %v", err)
	}
	if err := hal.FollowAll[restaurant](ctx, c, root, "far")[0].Err; !errors.Is(err, hal.ErrHost) {
		t.Errorf("nor all at once: %v", err)
	}
}
