package liveops_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/resn"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// Where everybody is. Paths of the owners are unlike anybody else's on purpose.
const (
	ordersAt = "http://orders.example"
	ridersAt = "http://riders.example"
	liveAt   = "http://live.example"
)

// city is the services that own orders and riders, in small.
type city struct {
	mu           sync.Mutex
	base         map[string]string // where orders and riders are, by topic
	docs         map[string]map[string]any
	version      map[string]int
	asked        map[string]int // by path
	broken       map[string]bool
	holding      map[string]func()
	cacheControl string
}

func newCity() *city {
	return &city{
		base: map[string]string{"orders": ordersAt, "riders": ridersAt},
		docs: map[string]map[string]any{}, version: map[string]int{}, asked: map[string]int{}, broken: map[string]bool{}, holding: map[string]func(){},
		cacheControl: "max-age=5",
	}
}

// set changes a resource, and returns what a notice of that says.
func (c *city) set(path string, change map[string]any) (kind, etag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	doc, kind := maps.Clone(c.docs[path]), resn.Update
	if doc == nil {
		doc, kind = map[string]any{}, resn.Create
	}
	maps.Copy(doc, change)
	c.docs[path] = doc
	c.version[path]++
	return kind, fmt.Sprintf(`"v%d"`, c.version[path])
}

// remove makes a resource gone.
func (c *city) remove(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.docs, path)
}

// breaks has requests for a path answered with 503, or no more.
func (c *city) breaks(path string, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken[path] = broken
}

// hold has a function called by each request for a path; nil for none.
func (c *city) hold(path string, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding[path] = do
}

// questions returns how many requests came for a path since it was last called.
func (c *city) questions(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.asked[path]
	delete(c.asked, path)
	return n
}

func (c *city) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	path := r.URL.Path
	c.asked[path]++
	if hold := c.holding[path]; hold != nil {
		c.mu.Unlock()
		hold()
		c.mu.Lock()
	}
	broken, doc, version := c.broken[path], maps.Clone(c.docs[path]), c.version[path]
	topic := "orders"
	if strings.HasPrefix(path, "/r/") || strings.HasPrefix(r.Host, "riders.") || path == "/riders" {
		topic = "riders"
	}
	control := c.cacheControl + ", " + resn.Directive(topic)
	links := map[string]any{"self": hal.To(c.base[topic] + path)}
	var items hal.Many
	for _, at := range slices.Sorted(maps.Keys(c.docs)) {
		status := c.docs[at]["status"]
		switch {
		case path == "/open-ones" && strings.HasPrefix(at, "/o/") && status != "delivered" && status != "cancelled",
			path == "/riders" && strings.HasPrefix(at, "/r/"):
			items = append(items, hal.To(c.base[topic]+at))
		}
	}
	c.mu.Unlock()
	if broken {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	opts := &hal.WriteOptions{CacheControl: control}
	switch {
	case path == "/":
		links["orders-open"] = hal.TemplateTo("/open-ones{?page,size}")
		links["riders"] = hal.To("/riders")
		doc, opts.CacheControl = map[string]any{}, "max-age=60"
	case path == "/open-ones" || path == "/riders":
		links["item"] = items
		doc, opts.CacheGroups = map[string]any{"total": len(items)}, []string{topic}
	case doc == nil:
		p := hal.NewProblem(http.StatusNotFound, "gone")
		p.Header = http.Header{"Cache-Control": {control}}
		hal.WriteProblem(w, r, p)
		return
	default:
		opts.ETag = fmt.Sprintf(`"v%d"`, version)
	}
	if more, ok := doc["_links"].(map[string]string); ok {
		for rel, href := range more {
			links[rel] = hal.To(href)
		}
	}
	doc["_links"] = links
	if err := hal.Write(w, r, http.StatusOK, doc, opts); err != nil {
		hal.WriteProblem(w, r, err)
	}
}

// within answers requests without a network, so that time may stand still.
type within struct{ http.Handler }

func (h within) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// rig is a service of live issues among owners.
type rig struct {
	t      *testing.T
	city   *city
	broker *membus.Broker
	bus    *bus.Bus // the owners'
	orders *resn.Publisher
	riders *resn.Publisher
	file   string

	live  *liveops.Service
	stop  func()
	began time.Time
}

// bubble runs a test in a world of its own in which time stands still while
// somebody has something to do.
func bubble(t *testing.T, rules string, test func(t *testing.T, r *rig)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "live.db")
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, city: newCity(), broker: membus.NewBroker(), file: file, began: time.Now()}
		r.bus = r.broker.Connect(nil)
		for topic, p := range map[string]**resn.Publisher{"orders": &r.orders, "riders": &r.riders} {
			made, err := resn.NewPublisher(r.bus, topic, &resn.PublisherOptions{Unowned: true, WatermarkInterval: 500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			*p = made
		}
		defer func() { // when the test has failed too: nobody may be left in the bubble
			if r.stop != nil {
				r.stop()
			}
			for _, p := range []*resn.Publisher{r.orders, r.riders} {
				if err := p.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
			if err := r.bus.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		r.start(rules)
		test(t, r)
	})
}

// start starts the service, on the database that the one before has left.
func (r *rig) start(rules string) {
	r.t.Helper()
	db, err := restaurants.OpenDB(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	own := r.broker.Connect(nil)
	client, err := resn.NewClient(own, &resn.ClientOptions{Transport: within{r.city}})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.live, err = liveops.New(ctx, db, own, client, &liveops.Options{BaseURL: liveAt, Orders: ordersAt + "/", Riders: ridersAt + "/"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.load(rules)
	ended := make(chan error, 1)
	go func() { ended <- r.live.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		err := <-ended
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		if err := errors.Join(err, client.Close(context.Background()), own.Shutdown(context.Background()), db.Close()); err != nil {
			r.t.Errorf("stop: %v", err)
		}
	})
	r.settle()
}

func (r *rig) load(rules string) {
	r.t.Helper()
	if rules == "" {
		return
	}
	if err := r.live.Load([]byte(rules)); err != nil {
		r.t.Fatal(err)
	}
}

// settle lets a second pass, in which whatever is under way comes to its end.
func (r *rig) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// until waits until so long after the test's beginning.
func (r *rig) until(at time.Duration) {
	time.Sleep(time.Until(r.began.Add(at)))
	synctest.Wait()
}

func (r *rig) at(d time.Duration) string { return r.began.Add(d).UTC().Format(time.RFC3339) }

// order changes an order and announces it.
func (r *rig) order(id string, change map[string]any) { r.change(r.orders, ordersAt, "/o/"+id, change) }

func (r *rig) rider(id string, change map[string]any) { r.change(r.riders, ridersAt, "/r/"+id, change) }

func (r *rig) change(pub *resn.Publisher, base, path string, change map[string]any) {
	r.t.Helper()
	err := pub.Change(r.t.Context(), base+path, func(context.Context) (string, string, error) {
		kind, etag := r.city.set(path, change)
		return kind, etag, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func links(pairs ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

// issue is what tests read of one.
type issue struct {
	liveops.Issue
	etag string
}

func (i *issue) link(rel string) string {
	l, _ := i.Links.Get(rel)
	return l.Href
}

// do sends a request to the service.
func (r *rig) do(method, url, etag string) (*httptest.ResponseRecorder, *issue) {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, url, http.NoBody)
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	rec := httptest.NewRecorder()
	r.live.Handler().ServeHTTP(rec, req)
	i := &issue{etag: rec.Header().Get("Etag")}
	if rec.Code >= 300 {
		return rec, i
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &i.Issue); err != nil {
		r.t.Fatalf("%s %s: %v: %s", method, url, err, rec.Body)
	}
	return rec, i
}

// issues returns those of a list, the oldest or the newest first.
func (r *rig) issues(path string) []*issue {
	r.t.Helper()
	rec := httptest.NewRecorder()
	r.live.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, liveAt+path, http.NoBody))
	var doc hal.Collection[hal.Any]
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		r.t.Fatalf("%v: %s", err, rec.Body)
	}
	var all []*issue
	for _, l := range doc.Links.Item {
		_, i := r.do(http.MethodGet, l.Href, "")
		all = append(all, i)
	}
	return all
}

// open returns "kind order severity status" of each issue that isn't resolved.
func (r *rig) open() []string {
	r.t.Helper()
	all := []string{}
	for _, i := range r.issues("/issues/open") {
		all = append(all, i.Kind+" "+strings.TrimPrefix(i.link("order"), ordersAt+"/o/")+" "+i.Severity+" "+i.Status)
	}
	slices.Sort(all)
	return all
}

// only returns the one issue that there is of all times.
func (r *rig) only() *issue {
	r.t.Helper()
	all := r.issues("/issues")
	if len(all) != 1 {
		r.t.Fatalf("there are %d issues; there should be one", len(all))
	}
	return all[0]
}

// query asks the database itself.
func (r *rig) query(query string) (n int) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(r.t.Context(), query).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}
