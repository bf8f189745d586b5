package storefront_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// owner is a restaurants service in small: a root, a list and items, and a
// publisher of their changes. Its paths are unlike anybody else's on purpose.
type owner struct {
	*httptest.Server
	t    *testing.T
	pub  *resn.Publisher
	base string

	mu       sync.Mutex
	names    []string
	versions []int
	requests int
}

func newOwner(t *testing.T, b *bus.Bus, items int) *owner {
	t.Helper()
	o := &owner{t: t}
	for i := range items {
		o.names = append(o.names, fmt.Sprintf("Alder %d", i))
		o.versions = append(o.versions, 1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", o.root)
	mux.HandleFunc("GET /search", o.list)
	mux.HandleFunc("GET /item/{id}", o.item)
	o.Server = httptest.NewServer(mux)
	o.base = o.URL
	pub, err := resn.NewPublisher(b, "restaurants", &resn.PublisherOptions{WatermarkInterval: 20 * time.Millisecond, Unowned: true})
	if err != nil {
		t.Fatal(err)
	}
	o.pub = pub
	return o
}

// down makes the owner stop as a whole: nothing is served, nothing announced.
func (o *owner) down() {
	o.Close()
	if err := o.pub.Close(context.WithoutCancel(o.t.Context())); err != nil {
		o.t.Error(err)
	}
}

func (o *owner) count() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests++
}

// asked returns how many requests came since it was last called.
func (o *owner) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.requests
	o.requests = 0
	return n
}

func (o *owner) write(w http.ResponseWriter, r *http.Request, v any, tag, cacheControl string) {
	o.count()
	if err := hal.Write(w, r, http.StatusOK, v, &hal.WriteOptions{ETag: tag, CacheControl: cacheControl}); err != nil {
		hal.WriteProblem(w, r, err)
	}
}

func (o *owner) root(w http.ResponseWriter, r *http.Request) {
	var links hal.Links
	links.Set("restaurants", hal.TemplateTo("/search{?geohash,size}"))
	o.write(w, r, map[string]any{"_links": links}, "", "max-age=60")
}

const control = `max-age=5, stale-if-error=3600, resn="restaurants"`

func (o *owner) list(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	items := hal.Many{}
	for i := range min(size, len(o.names)) {
		items = append(items, hal.Link{Href: "/item/" + strconv.Itoa(i), Title: "place " + strconv.Itoa(i)})
	}
	w.Header().Set("Cache-Groups", `"restaurants"`)
	o.write(w, r, map[string]any{"_links": map[string]any{"item": items}}, "", control)
}

func (o *owner) item(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	o.mu.Lock()
	name, version := o.names[id], o.versions[id]
	o.mu.Unlock()
	o.write(w, r, map[string]any{
		"name": name, "cuisine": "Plain",
		"address":  map[string]string{"building": strconv.Itoa(id), "street": "Elm", "zipcode": "1"},
		"location": map[string]float64{"lat": 40.71 + float64(id)/1000, "lon": -74 + float64(id%7)/1000},
	}, fmt.Sprintf(`"v%d"`, version), control)
}

// rename changes an item and announces it.
func (o *owner) rename(id int, name string) {
	o.t.Helper()
	err := o.pub.Change(o.t.Context(), fmt.Sprintf("%s/item/%d", o.base, id), func(context.Context) (string, string, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.names[id] = name
		o.versions[id]++
		return resn.Update, fmt.Sprintf(`"v%d"`, o.versions[id]), nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// newBus returns a bus in memory that ends with the test.
func newBus(t *testing.T) *bus.Bus {
	t.Helper()
	b := membus.New(nil)
	t.Cleanup(func() {
		if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// newClient returns a resn client that ends with the test.
func newClient(t *testing.T, b *bus.Bus, lease time.Duration) *resn.Client {
	t.Helper()
	c, err := resn.NewClient(b, &resn.ClientOptions{
		Listener: &resn.ListenerOptions{Lease: lease},
		Guard:    &resn.GuardOptions{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// eventually waits until a condition holds that another goroutine brings
// about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}
