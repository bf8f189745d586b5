package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/reference-services/liveops/dashboard"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/browser"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// orders owns orders, in small.
type orders struct {
	*httptest.Server
	pub *resn.Publisher

	mu      sync.Mutex
	docs    map[string]map[string]any
	version map[string]int
	posted  []string
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	id := strings.TrimPrefix(r.URL.Path, "/o/")
	doc := map[string]any{}
	maps.Copy(doc, o.docs[id])
	opts := &hal.WriteOptions{CacheControl: "max-age=5, " + resn.Directive("orders"), ETag: fmt.Sprintf(`"v%d"`, o.version[id])}
	links := map[string]any{"self": hal.To(o.URL + r.URL.Path)}
	switch {
	case r.Method == http.MethodPost:
		o.posted = append(o.posted, r.URL.Path+" "+r.Header.Get("If-Match"))
	case r.URL.Path == "/":
		links["orders-open"] = hal.To(o.URL + "/open")
		opts = nil
	case r.URL.Path == "/open":
		var items hal.Many
		for id := range o.docs {
			items = append(items, hal.To(o.URL+"/o/"+id))
		}
		links["item"] = items
		opts.CacheGroups = []string{"orders"}
	default:
		links["cancel"] = hal.To(o.URL + "/cancel/" + id)
		links["restaurant"] = hal.To("http://restaurants.example/" + id)
	}
	o.mu.Unlock()
	if r.Method == http.MethodPost {
		hal.WriteProblem(w, r, hal.NewProblem(http.StatusConflict, "The kitchen has begun."))
		return
	}
	doc["_links"] = links
	if err := hal.Write(w, r, http.StatusOK, doc, opts); err != nil {
		hal.WriteProblem(w, r, err)
	}
}

func (o *orders) set(t *testing.T, id string, change map[string]any) {
	t.Helper()
	err := o.pub.Change(t.Context(), o.URL+"/o/"+id, func(context.Context) (string, string, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.docs[id] == nil {
			o.docs[id] = map[string]any{}
		}
		maps.Copy(o.docs[id], change)
		o.version[id]++
		return resn.Update, fmt.Sprintf(`"v%d"`, o.version[id]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a service of live issues with its page, and what comes between them and
// the browser.
type rig struct {
	t      *testing.T
	orders *orders
	bus    *bus.Bus
	live   *liveops.Service
	server *httptest.Server
	open   func() *dashboard.Page

	mu    sync.Mutex
	page  *dashboard.Page // nil while there is none
	asked map[string]int
	hold  func(path string) (release <-chan struct{})
	came  []string // queries of connections
}

const rules = `{"rules":[
	{"id":"slow","kind":"not-accepted","steps":[{"after":"2m","severity":"warning"},{"after":"10m","severity":"critical"}]},
	{"id":"kitchen","kind":"not-ready","steps":[{"after":"20m","severity":"info"}]}]}`

func start(t *testing.T) *rig {
	t.Helper()
	b := membus.New(nil)
	r := &rig{t: t, bus: b, asked: map[string]int{}, orders: &orders{docs: map[string]map[string]any{}, version: map[string]int{}}}
	r.orders.Server = httptest.NewServer(r.orders)
	var err error
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.orders.pub, err = resn.NewPublisher(b, "orders", &resn.PublisherOptions{Unowned: true})
	check(err)
	db, err := restaurants.OpenDB(filepath.Join(t.TempDir(), "live.db"))
	check(err)
	client, err := resn.NewClient(b, nil)
	check(err)
	r.server = httptest.NewUnstartedServer(r)
	base := "http://" + r.server.Listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	r.live, err = liveops.New(ctx, db, b, client, &liveops.Options{BaseURL: base, Orders: r.orders.URL + "/"})
	check(err)
	check(r.live.Load([]byte(rules)))
	r.open = func() *dashboard.Page {
		page, err := dashboard.Open(ctx, b, client, &dashboard.Options{
			Root: base + "/", Browse: "http://127.0.0.1:1/explorer/#", Poll: 200 * time.Millisecond,
			Links: []dashboard.Link{{Title: "Console", URL: "/console/"}}, Changes: &browser.Options{Heartbeat: 100 * time.Millisecond},
		})
		check(err)
		return page
	}
	r.page = r.open()
	r.server.Start()
	ended := make(chan error, 1)
	go func() { ended <- r.live.Run(ctx) }()
	t.Cleanup(func() {
		done := context.Background()
		r.serve(nil)
		r.server.CloseClientConnections()
		r.server.Close()
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := errors.Join(r.orders.pub.Close(done), client.Close(done), b.Shutdown(done), db.Close()); err != nil {
			t.Error(err)
		}
		r.orders.Close()
	})
	return r
}

// ServeHTTP serves the service and its page, held up and cut off as tests want it.
func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := req.URL.Path
	if path == "/live/changes" {
		r.mu.Lock()
		r.came = append(r.came, req.URL.RawQuery)
		r.mu.Unlock()
	}
	if strings.HasPrefix(path, "/live/") {
		r.mu.Lock()
		page := r.page
		r.mu.Unlock()
		if page == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		page.ServeHTTP(w, req)
		return
	}
	r.mu.Lock()
	var hold func(string) <-chan struct{}
	if req.Method == http.MethodGet && !fromClient(req) {
		r.asked[path]++
		hold = r.hold
	}
	r.mu.Unlock()
	if hold == nil {
		r.live.Handler().ServeHTTP(w, req)
		return
	}
	// The answer is from now, and comes later.
	rec := httptest.NewRecorder()
	r.live.Handler().ServeHTTP(rec, req)
	if release := hold(path); release != nil {
		select {
		case <-release:
		case <-req.Context().Done(): // the browser has given it up, or the test has failed
			return
		}
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// serve puts a page in the place of the one before, which is ended; nil for none.
func (r *rig) serve(page *dashboard.Page) {
	r.t.Helper()
	r.mu.Lock()
	before := r.page
	r.page, r.came = page, nil
	r.mu.Unlock()
	if before != nil {
		if err := before.Shutdown(context.Background()); err != nil {
			r.t.Error(err)
		}
	}
}

// fromClient tells the page's own requests from those of the server's client.
func fromClient(r *http.Request) bool { return !strings.Contains(r.UserAgent(), "Mozilla") }

// questions returns how often each path was asked for since it was last called.
func (r *rig) questions() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = map[string]int{}
	return asked
}

func (r *rig) when(ago time.Duration) string {
	return time.Now().Add(-ago).UTC().Format(time.RFC3339)
}

// placed puts an order so long ago.
func (r *rig) placed(id, restaurant string, ago time.Duration, lat, lon float64) {
	r.t.Helper()
	r.orders.set(r.t, id, map[string]any{
		"status": "placed", "placed_at": r.when(ago), "area": "dr5ru",
		"restaurant": map[string]string{"name": restaurant}, "dropoff": map[string]float64{"lat": lat, "lon": lon},
	})
}
