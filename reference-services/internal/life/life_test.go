package life_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/reference-services/internal/life"
	"github.com/goswale/swale/reference-services/orders"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/reference-services/riders"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	restaurantsURL = "http://restaurants.example"
	ordersURL      = "http://orders.example"
	ridersURL      = "http://riders.example"
)

// city is the services, in memory, without a network between them.
type city struct {
	hosts  map[string]http.RoundTripper
	mu     sync.Mutex
	down   map[string]bool
	asked  map[string]int // by host
	wrong  []string       // what was refused
	foiled atomic.Int64   // requests to who was down
}

// errDown is that nobody listens.
var errDown = errors.New("connection refused")

func (c *city) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	down := c.down[r.URL.Host]
	c.asked[r.URL.Host]++
	c.mu.Unlock()
	if down {
		c.foiled.Add(1)
		return nil, errDown
	}
	resp, err := c.hosts[r.URL.Host].RoundTrip(r)
	if err == nil && resp.StatusCode >= 400 && r.Context().Err() == nil { // what is given up when the day ends fails as it likes
		c.mu.Lock()
		defer c.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/position") && r.Method == http.MethodGet {
			return resp, nil // nobody has seen them yet
		}
		c.wrong = append(c.wrong, fmt.Sprintf("%s %s gave %s", r.Method, r.URL.Path, resp.Status))
	}
	return resp, err
}

func (c *city) stop(host string, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[host] = down
}

// day lives for a while in a city of its own, and returns what happened. Meanwhile
// does something beside it.
func day(t *testing.T, opts life.Options, length time.Duration, meanwhile func(*testing.T, *city)) (moments []life.Moment, c *city) {
	t.Helper()
	db := func(name string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+name+"?mode=memory&_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1) // of which each would have a memory of its own
		return db
	}
	places, placed, riding := db("restaurants"), db("orders"), db("riders")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		b := membus.New(nil)
		r, err := restaurants.New(ctx, places, b, &restaurants.Options{BaseURL: restaurantsURL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Generate(ctx, 120, 2017); err != nil {
			t.Fatal(err)
		}
		o, err := orders.New(ctx, placed, b, &orders.Options{BaseURL: ordersURL})
		if err != nil {
			t.Fatal(err)
		}
		d, err := riders.New(ctx, riding, b, &riders.Options{BaseURL: ridersURL})
		if err != nil {
			t.Fatal(err)
		}
		c = &city{
			hosts: map[string]http.RoundTripper{
				"restaurants.example": haltest.Serve(r.Handler()), "orders.example": haltest.Serve(o.Handler()), "riders.example": haltest.Serve(d.Handler()),
			},
			down: make(map[string]bool), asked: make(map[string]int),
		}
		var running sync.WaitGroup
		for _, relay := range []func(context.Context) error{r.Run, o.Run, d.Run} {
			running.Go(func() {
				if err := relay(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		opts.Restaurants, opts.Orders, opts.Riders = restaurantsURL+"/", ordersURL+"/", ridersURL+"/"
		opts.Transport = c
		opts.Tell = func(m life.Moment) { moments = append(moments, m) }
		lived := make(chan error, 1)
		go func() { lived <- life.New(b, &opts).Run(ctx) }()
		if meanwhile != nil {
			meanwhile(t, c)
		}
		time.Sleep(length)
		stop()
		if err := <-lived; err != nil {
			t.Error(err)
		}
		running.Wait()
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		for _, db := range []*sql.DB{places, placed, riding} {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return moments, c
}

// count counts what happened.
func count(moments []life.Moment) map[string]int {
	n := make(map[string]int)
	for _, m := range moments {
		what, _, _ := strings.Cut(m.What, " at ")
		n[what]++
	}
	return n
}

func TestADay(t *testing.T) {
	moments, c := day(t, life.Options{Seed: 7}, 8*time.Minute, nil)
	n := count(moments)
	t.Log(n, c.asked)
	if n["orders"] < 130 || n["orders"] > 190 || n["delivers"] < n["orders"]/2 {
		t.Errorf("in eight minutes %d orders are placed, and %d delivered; want 160, as chance will have it, and most of them", n["orders"], n["delivers"])
	}
	for _, trouble := range []string{"forgets it", "is slow", "is stuck", "forgets to say that it is done", "cancels"} {
		if n[trouble] == 0 {
			t.Errorf("it never happens that somebody %s", trouble)
		}
	}
	if len(c.wrong) > 0 {
		t.Errorf("who does what is linked to, on condition of what it has read, is refused nothing when alone; %q", c.wrong)
	}
	// Each order is looked at each minute of the city by all who have to do with it.
	if asked := c.asked["restaurants.example"]; asked > 250 {
		t.Errorf("the restaurants, which don't change, are asked %d times", asked)
	}
}

func TestTheSameSeedGivesTheSameDay(t *testing.T) {
	first, _ := day(t, life.Options{Seed: 7}, 150*time.Second, nil)
	again, _ := day(t, life.Options{Seed: 7}, 150*time.Second, nil)
	if diff := cmp.Diff(first, again); diff != "" || len(first) < 100 {
		t.Errorf("of %d moments (-first +again):\n%s", len(first), diff)
	}
	if other, _ := day(t, life.Options{Seed: 8}, 150*time.Second, nil); cmp.Equal(first, other) {
		t.Error("another seed gives the same day")
	}
}

// words is a log.
type words struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func TestACityGoesOnWithoutAService(t *testing.T) {
	var log words
	opts := life.Options{Seed: 7, PerMinute: 10, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	type outage struct{ from, to time.Time }
	outages := make(map[string]outage)
	moments, c := day(t, opts, 3*time.Minute, func(_ *testing.T, c *city) {
		time.Sleep(2 * time.Minute)
		for _, host := range []string{"riders.example", "orders.example", "restaurants.example"} {
			c.stop(host, true)
			from := time.Now()
			time.Sleep(time.Minute)
			c.stop(host, false)
			outages[host] = outage{from, time.Now()}
			time.Sleep(time.Minute)
		}
	})
	within := func(host string) map[string]int {
		var some []life.Moment
		for _, m := range moments {
			if m.At.After(outages[host].from) && m.At.Before(outages[host].to) {
				some = append(some, m)
			}
		}
		return count(some)
	}
	if n := within("riders.example"); n["orders"] == 0 || n["accepts"] == 0 || n["takes it"] > 0 {
		t.Errorf("without riders, people order and kitchens accept, and nobody is sent: %v", n)
	}
	if n := within("orders.example"); n["orders"] > 0 || n["accepts"] > 0 || n["delivers"] > 0 {
		t.Errorf("without orders none are placed, accepted or delivered: %v", n)
	}
	if n := within("restaurants.example"); n["accepts"] == 0 || n["delivers"] == 0 {
		t.Errorf("without restaurants, what was ordered is brought: %v", n)
	}
	var last []life.Moment
	for _, m := range moments {
		if m.At.After(outages["restaurants.example"].to.Add(time.Minute)) {
			last = append(last, m)
		}
	}
	if n := count(last); n["orders"] < 15 || n["delivers"] < 10 {
		t.Errorf("when all are there again it isn't as before: %v", n)
	}
	for host := range outages {
		down, up := strings.Count(log.text.String(), "doesn't answer; the city goes on without it\" service="+host), strings.Count(log.text.String(), "answers again\" service="+host)
		if down != 1 || up != 1 {
			t.Errorf("that %s doesn't answer is said %d times, that it does again %d times; want each once:\n%s", host, down, up, &log.text)
		}
	}
	if c.foiled.Load() == 0 {
		t.Error("nobody asked who was down")
	}
}

// Whoever else does something is part of the city.
func TestOthersLiveThereToo(t *testing.T) {
	var placed, cancelled *hal.Resource[orders.Order]
	moments, _ := day(t, life.Options{Seed: 7, PerMinute: 1, Couriers: 4}, 5*time.Minute, func(t *testing.T, c *city) {
		time.Sleep(30 * time.Second)
		client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: c}})
		for _, made := range []**hal.Resource[orders.Order]{&placed, &cancelled} {
			var err error
			*made, err = hal.Post[orders.Order](t.Context(), client, ordersURL+"/orders", map[string]any{
				"restaurant": map[string]any{"href": restaurantsURL + "/restaurants/city-00003", "name": "By hand"},
				"dropoff":    map[string]any{"lat": 40.72, "lon": -73.99}, "total_cents": 100,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// One is cancelled while a rider is on the way.
		for tries := 0; ; tries++ {
			if tries == 300 {
				t.Fatal("no rider is sent for an order that was placed by hand")
			}
			time.Sleep(time.Second)
			now, err := hal.Get[orders.Order](t.Context(), client, cancelled.URL)
			if err != nil {
				t.Fatal(err)
			}
			if _, assigned := now.Links().Get("rider"); !assigned {
				continue
			}
			condition := client.With(http.Header{"If-Match": {now.ETag}})
			if _, err := hal.PostTo[orders.Order](t.Context(), condition, now, "cancel", struct{}{}); err != nil {
				t.Fatal(err)
			}
			break
		}
	})
	byOrder := make(map[int][]string)
	seen := []int{}
	for _, m := range moments {
		if m.What == "sees an order" {
			seen = append(seen, m.Order)
		}
		byOrder[m.Order] = append(byOrder[m.Order], m.What)
	}
	if len(seen) != 2 {
		t.Fatalf("the city sees %v; two were placed by hand", seen)
	}
	one, other := strings.Join(byOrder[seen[0]], ", "), strings.Join(byOrder[seen[1]], ", ")
	if !strings.Contains(one, "delivers, is free") {
		t.Errorf("an order that was placed by hand: %s; want it delivered", one)
	}
	if strings.Contains(other, "delivers") || !strings.Contains(other, "takes it") || !strings.HasSuffix(other, "is free") {
		t.Errorf("an order that somebody else cancels: %s; its rider must be free again", other)
	}
}
