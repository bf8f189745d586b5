package life

import (
	"container/heap"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Options configure a Life. The roots must be given.
type Options struct {
	// Restaurants, Orders and Riders are the services' root documents.
	Restaurants, Orders, Riders string

	// PerMinute is how many orders are placed a minute, on average. Default 20.
	PerMinute float64

	// Couriers is how many riders there are at least; those that are missing are
	// hired. Default as many as deliver PerMinute orders, and some.
	Couriers int

	// Minute is how long a minute of the city takes: an order takes some forty of
	// them. Default 3 s.
	Minute time.Duration

	// Seed decides everything that is left to chance.
	Seed uint64

	// Transport carries requests to the services. Default: that of resn.NewClient.
	Transport http.RoundTripper

	// Tell hears of everything that happens, from one goroutine. Default: nobody does.
	Tell func(Moment)

	// Logger hears of services that don't answer. Default: nothing is logged.
	Logger *slog.Logger
}

// Moment is something that happened.
type Moment struct {
	At   time.Time
	Who  string // "customer", "kitchen", or a rider's name
	What string
	// Order counts the orders as they were first seen, from 1; 0 if it is about none.
	Order int
}

// Life is a city's day. Make one with [New], and run it once.
type Life struct {
	opts     Options
	bus      *bus.Bus
	client   *hal.Client
	rand     *rand.Rand
	queue    queue
	happened int

	stories  map[string]*story // of open orders, by href
	seen     int               // orders, ever
	couriers []*courier
}

// New returns a life whose news comes over b.
func New(b *bus.Bus, opts *Options) *Life {
	l := &Life{opts: *opts, bus: b, stories: make(map[string]*story)}
	o := &l.opts
	if o.PerMinute <= 0 {
		o.PerMinute = 20
	}
	if o.Minute <= 0 {
		o.Minute = 3 * time.Second
	}
	if o.Couriers <= 0 {
		// Each order keeps one for some twenty minutes of the city.
		o.Couriers = 3 + int(o.PerMinute/60*o.Minute.Seconds()*25)
	}
	if o.Tell == nil {
		o.Tell = func(Moment) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l.rand = l.chance(0)
	return l
}

// chance is the luck of one of them, which nobody else's changes.
func (l *Life) chance(of uint64) *rand.Rand { return rand.New(rand.NewPCG(l.opts.Seed, of)) }

// Run lives until ctx ends.
func (l *Life) Run(ctx context.Context) error {
	watched := newWatch(l.opts.Transport, l.opts.Logger)
	defer watched.CloseIdleConnections()
	client, err := resn.NewClient(l.bus, &resn.ClientOptions{Transport: watched, Logger: l.opts.Logger})
	if err != nil {
		return err
	}
	var hosts []string
	for _, root := range []string{l.opts.Restaurants, l.opts.Orders, l.opts.Riders} {
		u, err := url.Parse(root)
		if err != nil {
			return err
		}
		hosts = append(hosts, u.Host)
	}
	l.client = hal.NewClient(&hal.ClientOptions{HTTP: client.HTTP(), AllowedHosts: hosts})
	l.in(0, l.hire)
	l.in(0, l.look)
	l.in(l.until(), l.order)
	for ctx.Err() == nil {
		next := heap.Pop(&l.queue).(*event)
		wait := time.NewTimer(time.Until(next.at))
		select {
		case <-wait.C:
			next.do(ctx)
		case <-ctx.Done():
		}
		wait.Stop()
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return client.Close(end)
}

// tell tells what happened.
func (l *Life) tell(who, what string, order int) {
	l.opts.Tell(Moment{time.Now(), who, what, order})
}

// minutes of the city.
func (l *Life) minutes(n float64) time.Duration { return time.Duration(n * float64(l.opts.Minute)) }

// in has something happen later.
func (l *Life) in(d time.Duration, do func(ctx context.Context)) {
	l.happened++
	heap.Push(&l.queue, &event{time.Now().Add(d), l.happened, do})
}

// event is something that will happen.
type event struct {
	at  time.Time
	seq int // of two at the same time the first one that was planned
	do  func(ctx context.Context)
}

// queue has what happens next first.
type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(e any)   { *q = append(*q, e.(*event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
