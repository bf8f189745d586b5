package resn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

const (
	cityOrigin = "http://city.example"
	cityList   = cityOrigin + "/restaurants"
	cityTopic  = "restaurants"
)

// city is an owner of many resources and of the collection that lists them, in
// pages of three. It numbers and announces by hand, so that a test can leave
// something out.
type city struct {
	mu       sync.Mutex
	bus      *bus.Bus
	versions map[string]int // by path; 0 is gone
	order    []string       // paths in the order of the list
	asked    map[string]int // requests by path
	seq      uint64
	epoch    string
	names    bool // notices name ETags

	answer func(path string, version int) (int, bool) // what a lagging replica says instead
	status func(path string) int                      // of failing answers, 0 for none
	before func(ctx context.Context, path string)     // is called before an answer leaves
}

// restaurant is a resource of the city.
type restaurant struct {
	Links   map[string]struct{ Href string } `json:"_links"`
	Version int                              `json:"version"`
}

func newCity(t *testing.T, b *bus.Bus, n int) *city {
	t.Helper()
	c := &city{bus: b, versions: map[string]int{}, asked: map[string]int{}, epoch: "one"}
	for i := range n {
		c.add(path(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c.mark(ctx)
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c
}

func path(i int) string { return fmt.Sprintf("/restaurants/%03d", i) }
func at(i int) string   { return cityOrigin + path(i) }

func (c *city) add(path string) {
	c.versions[path] = 1
	c.order = append(c.order, path)
}

// mark publishes a watermark. The city's lock keeps it in order with notices.
func (c *city) mark(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := resn.Watermark{Topic: cityTopic, Epoch: c.epoch, Seq: c.seq, Time: time.Now()}
	_ = c.bus.Publish(ctx, cityTopic, w.CloudEvent("/city")) // the next one says the same
}

// change commits a change and announces it.
func (c *city) change(t *testing.T, kind string, i int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.commit(kind, i)
	if err := c.bus.Publish(t.Context(), cityTopic, e.CloudEvent("/city")); err != nil {
		t.Error(err)
	}
}

// commit changes a resource and returns the notice of that, numbered.
func (c *city) commit(kind string, i int) resn.Event {
	p := path(i)
	c.seq++
	e := resn.Event{Topic: cityTopic, Type: kind, Href: at(i), Time: time.Now(), Seq: c.seq, Epoch: c.epoch}
	switch kind {
	case resn.Delete:
		c.versions[p] = -abs(c.versions[p]) - 1
		c.order = slices.DeleteFunc(c.order, func(o string) bool { return o == p })
	case resn.Create:
		c.versions[p] = abs(c.versions[p]) + 1
		c.order = append(c.order, p)
	case resn.Update:
		c.versions[p]++
	}
	if c.names && kind != resn.Delete {
		e.ETag = etag(c.versions[p])
	}
	return e
}

func abs(n int) int { return max(n, -n) }

// lose commits a change that nobody hears of, though it has a number.
func (c *city) lose(kind string, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commit(kind, i)
}

func (c *city) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path]
}

func (c *city) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	p := req.URL.Path
	c.asked[p]++
	status, header, body := c.serve(p, req.URL.Query())
	if req.Header.Get("If-None-Match") == header.Get("Etag") && header.Get("Etag") != "" {
		status, body = http.StatusNotModified, ""
	}
	before := c.before
	c.mu.Unlock()
	if before != nil {
		before(req.Context(), p)
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1",
		Header: header, Request: req, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

func (c *city) serve(p string, query url.Values) (int, http.Header, string) {
	h := http.Header{}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "max-age=5, "+resn.Directive(cityTopic))
	if c.status != nil {
		if s := c.status(p); s != 0 {
			h.Set("Cache-Control", "no-store")
			return s, h, ""
		}
	}
	if p == "/restaurants" {
		return http.StatusOK, h, c.page(query)
	}
	version := c.versions[p]
	if c.answer != nil {
		if v, ok := c.answer(p, version); ok {
			version = v
		}
	}
	if version <= 0 {
		return http.StatusNotFound, h, ""
	}
	h.Set("Etag", etag(version))
	return http.StatusOK, h, fmt.Sprintf(`{"_links":{"self":{"href":%q}},"version":%d}`, p, version)
}

const pageSize = 3

func (c *city) page(query url.Values) string {
	type link struct {
		Href string `json:"href"`
	}
	from, _ := strconv.Atoi(query.Get("from"))
	links := map[string]any{}
	items := []link{}
	for i := from; i < min(from+pageSize, len(c.order)); i++ {
		items = append(items, link{c.order[i]})
	}
	links["item"] = items
	if from+pageSize < len(c.order) {
		links["next"] = link{"/restaurants?from=" + strconv.Itoa(from+pageSize)}
	}
	body, _ := json.Marshal(map[string]any{"_links": links, "total": len(c.order)})
	return string(body)
}

// held is what a consumer's handler holds: a version for each href.
type held struct {
	mu      sync.Mutex
	rows    map[string]int
	walks   map[string]uint64
	changes []resn.Change
	back    []string // changes that brought an older version
	fail    func(c *resn.Change) error
}

func newHeld() *held { return &held{rows: map[string]int{}, walks: map[string]uint64{}} }

func (h *held) handle(_ context.Context, c *resn.Change) error {
	h.mu.Lock()
	fail := h.fail
	h.mu.Unlock()
	if fail != nil {
		if err := fail(c); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, *c)
	h.walks[c.Href] = c.Walk
	if c.Gone {
		delete(h.rows, c.Href)
		return nil
	}
	var r restaurant
	if err := c.Decode(&r); err != nil {
		return err
	}
	if r.Version < h.rows[c.Href] {
		h.back = append(h.back, fmt.Sprintf("%s: version %d after %d", c.Href, r.Version, h.rows[c.Href]))
	}
	h.rows[c.Href] = r.Version
	return nil
}

// unseen is ConsumerOptions.Unseen.
func (h *held) unseen(_ context.Context, walk uint64) iter.Seq2[string, error] {
	h.mu.Lock()
	var hrefs []string
	for href := range h.rows {
		if h.walks[href] < walk {
			hrefs = append(hrefs, href)
		}
	}
	h.mu.Unlock()
	slices.Sort(hrefs)
	return func(yield func(string, error) bool) {
		for _, href := range hrefs {
			if !yield(href, nil) {
				return
			}
		}
	}
}

func (h *held) snapshot() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.rows)
}

func (h *held) calls() []resn.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// truth is what the city holds.
func (c *city) truth() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := map[string]int{}
	for p, v := range c.versions {
		if v > 0 {
			rows[cityOrigin+p] = v
		}
	}
	return rows
}

// process is one process with a consumer in it.
type process struct {
	faults   *membus.Faults
	bus      *bus.Bus
	client   *resn.Client
	consumer *resn.Consumer
	end      func() // as a process ends that is told to; may be called twice
	kill     func() // as a process ends that isn't
}

// launch starts a process. The test runs in a synctest bubble.
func launch(t *testing.T, broker *membus.Broker, c *city, handler resn.ConsumerHandler, opts *resn.ConsumerOptions) *process {
	t.Helper()
	p := &process{faults: &membus.Faults{}}
	p.bus = broker.Connect(&membus.Options{Faults: p.faults})
	var err error
	if p.client, err = resn.NewClient(p.bus, &resn.ClientOptions{Transport: c, Guard: &resn.GuardOptions{Retries: -1, Failures: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
	if p.consumer, err = resn.NewConsumer(p.client, cityTopic, "index", handler, opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.consumer.Run(ctx) }()
	var killed bool
	p.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !killed {
			t.Errorf("Run returns nil when its context ends, got %v", err)
		}
		_ = p.client.Close(context.Background())
		_ = p.bus.Shutdown(context.Background())
	})
	p.kill = func() {
		killed = true
		p.faults.Cut()
		p.end()
	}
	t.Cleanup(p.end)
	return p
}
