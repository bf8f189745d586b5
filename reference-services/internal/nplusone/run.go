package nplusone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
)

// Options configures a run.
type Options struct {
	// Root is the root document of the restaurants service.
	Root string
	// Bus is where the service announces its changes.
	Bus *bus.Bus
	// Geohash is the area of the page. Default: everywhere.
	Geohash string
	// Items is how many items the page has. Default 50.
	Items int
	// Duration is how long pages are loaded, all strategies together. Default
	// 20 s.
	Duration time.Duration
	// Rate is how many updates are made in a second. Default 100.
	Rate float64
	// Progress hears what is going on. Default: nobody.
	Progress func(Progress)
}

// Progress is a sign of life of a run.
type Progress struct {
	Step    string // what is being done
	Share   float64
	Pages   int
	Updates int
}

// turns is how often every strategy gets its turn. They take turns rather than
// run one after another or side by side, so that all of them meet the same
// machine, the same owner and the same stream of updates, and none takes
// another's processor time.
const turns = 8

// Run measures the four strategies. It is bounded in time: Duration, and some
// seconds to begin and to end.
func Run(ctx context.Context, opts Options) (*Report, error) {
	r := &run{opts: opts, truth: newLedger(), tick: &activity{}}
	if r.opts.Items <= 0 {
		r.opts.Items = 50
	}
	if r.opts.Duration <= 0 {
		r.opts.Duration = 20 * time.Second
	}
	if r.opts.Rate <= 0 {
		r.opts.Rate = 100
	}
	if r.opts.Progress == nil {
		r.opts.Progress = func(Progress) {}
	}
	return r.run(ctx)
}

type run struct {
	opts       Options
	truth      *ledger
	tick       *activity
	strategies []*strategy
	updater    *updater
	query      storefront.Query
}

func (r *run) run(ctx context.Context) (_ *Report, err error) {
	r.query = storefront.Query{Geohash: r.opts.Geohash, Size: r.opts.Items}
	plain := newCounter()
	defer plain.CloseIdleConnections()
	r.opts.Progress(Progress{Step: "reading the page once"})
	page := storefront.NewLoader(r.opts.Root, &http.Client{Transport: plain}, nil).Load(ctx, r.query)
	if page.Err != nil {
		return nil, fmt.Errorf("load the page from %s: %w", r.opts.Root, page.Err)
	}
	if len(page.Items) == 0 {
		return nil, fmt.Errorf("the page from %s has no items; import or generate restaurants first", r.opts.Root)
	}
	r.updater = &updater{http: &http.Client{Transport: plain}, truth: r.truth, tick: r.tick, rate: r.opts.Rate}
	for _, it := range page.Items {
		if it.Restaurant == nil {
			return nil, fmt.Errorf("read %s: %w", it.Href, it.Err)
		}
		r.truth.begin(it.Href, it.ETag)
		r.updater.items = append(r.updater.items, &changing{href: it.Href, name: it.Restaurant.Name, etag: it.ETag})
	}
	topic, err := topicOf(ctx, plain, page.Items[0].Href)
	if err != nil {
		return nil, err
	}

	var client *resn.Client
	if r.strategies, client, err = newStrategies(r.opts.Root, r.opts.Bus); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.closeAll(context.WithoutCancel(ctx))) }()
	r.opts.Progress(Progress{Step: "warming the caches"})
	if err := r.warm(ctx, client, topic); err != nil {
		return nil, err
	}
	watcher, err := watch(ctx, r.opts.Bus, topic, client, r.truth, r.tick)
	if err != nil {
		return nil, fmt.Errorf("watch topic %q: %w", topic, err)
	}
	defer func() { err = errors.Join(err, watcher.sub.Close(context.WithoutCancel(ctx))) }()

	if err := r.measure(ctx); err != nil {
		return nil, err
	}
	report := &Report{Updates: int(r.updater.done.Load()), ItemsPerPage: len(page.Items)}
	for _, s := range r.strategies {
		report.Strategies = append(report.Strategies, s.report())
	}
	r.opts.Progress(Progress{Step: "giving the restaurants their names back", Share: 1, Updates: report.Updates})
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r.updater.restore(end)
	if report.Updates == 0 && r.updater.failed.Load() > 0 {
		return nil, fmt.Errorf("no update succeeded: %w", r.updater.lastError())
	}
	return report, nil
}

// topicOf reads which topic vouches for an item.
func topicOf(ctx context.Context, through http.RoundTripper, href string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
	if err != nil {
		return "", err
	}
	resp, err := through.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", href, err)
	}
	_ = resp.Body.Close()
	match := regexp.MustCompile(`\bresn="?([a-z0-9._-]+)`).FindStringSubmatch(resp.Header.Get("Cache-Control"))
	if match == nil {
		return "", fmt.Errorf("%s names no topic: its Cache-Control is %q", href, resp.Header.Get("Cache-Control"))
	}
	return match[1], nil
}

// warm loads the page twice with each strategy, before anything changes, and
// waits until the topic is live.
func (r *run) warm(ctx context.Context, client *resn.Client, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := client.Listen(ctx, topic); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	live := func(t resn.TopicState) bool { return t.Topic == topic && t.Live }
	for !slices.ContainsFunc(client.Topics(), live) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("topic %q is not live: is this the bus that the restaurants service announces its changes on? (%+v)", topic, client.Topics())
		}
	}
	for range 2 {
		for _, s := range r.strategies {
			if page := s.loader.Load(ctx, r.query); page.Degraded() {
				return fmt.Errorf("%s: the page can't be loaded whole: %w", s.name, cause(page))
			}
		}
	}
	return nil
}

func cause(p *storefront.Page) error {
	if p.Err != nil {
		return p.Err
	}
	for i := range p.Items {
		if err := p.Items[i].Err; err != nil {
			return err
		}
	}
	return errors.New("it is from memory")
}

// measure loads pages under a stream of updates.
func (r *run) measure(ctx context.Context) error {
	updating, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.updater.run(updating) })
	defer wg.Wait()
	defer stop()

	turn := r.opts.Duration / time.Duration(turns*len(r.strategies))
	start, pages := time.Now(), 0
	for n := range turns {
		for i, s := range r.strategies {
			// Turns end on the clock, so that a slow page shortens the next
			// turn and not the others'.
			end := start.Add(time.Duration(n*len(r.strategies)+i+1) * turn)
			pages += r.turn(ctx, s, end)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.opts.Progress(Progress{
				Step:    "loading pages: " + s.name,
				Share:   min(1, float64(time.Since(start))/float64(r.opts.Duration)),
				Pages:   pages,
				Updates: int(r.updater.done.Load()),
			})
		}
	}
	return nil
}

// turn loads one page after another until the turn ends, at least one.
func (r *run) turn(ctx context.Context, s *strategy, end time.Time) int {
	pages := 0
	before := r.tick.now() // the beginning of the page before
	for {
		began, sent := r.tick.now(), s.wire.n.Load()
		page := s.loader.Load(ctx, r.query)
		if ctx.Err() != nil {
			return pages
		}
		requests := s.wire.n.Load() - sent
		if pages > 0 && r.tick.quietSince(before) {
			s.quiet(requests)
		}
		before = began
		s.record(page, requests, r.truth)
		pages++
		if !time.Now().Before(end) {
			return pages
		}
	}
}

func (r *run) closeAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var errs []error
	for _, s := range r.strategies {
		if s.close != nil {
			errs = append(errs, s.close(ctx))
		}
		s.wire.CloseIdleConnections()
	}
	return errors.Join(errs...)
}
