package nplusone

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gregjones/httpcache"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
)

// strategy is one way of reading: the page code is the storefront's in all of
// them, and only what carries its requests differs.
type strategy struct {
	name   string
	loader *storefront.Loader
	wire   *counter // requests that reach the domain service
	close  func(context.Context) error

	pages     distribution
	staleness distribution
	figures   Figures
	requests  int64
}

// newStrategies returns the four, and the resn client of the last.
func newStrategies(root string, b *bus.Bus) ([]*strategy, *resn.Client, error) {
	var all []*strategy
	// How long a page takes is a figure: a slow one is waited for.
	patience := &storefront.LoaderOptions{Patience: time.Minute}
	add := func(name string, wire *counter, through http.RoundTripper, closing func(context.Context) error) {
		all = append(all, &strategy{
			name:   name,
			loader: storefront.NewLoader(root, &http.Client{Transport: through}, patience),
			wire:   wire,
			close:  closing,
		})
	}
	none := newCounter()
	add(None, none, none, nil)

	etag := newCounter()
	add(ETag, etag, &httpcache.Transport{Transport: alwaysRevalidate{etag}, Cache: httpcache.NewMemoryCache()}, nil)

	maxAge := newCounter()
	timed := cache.New(maxAge, nil)
	add(MaxAge, maxAge, timed, func(context.Context) error { return timed.Close() })

	noticed := newCounter()
	client, err := resn.NewClient(b, &resn.ClientOptions{Transport: noticed})
	if err != nil {
		return nil, nil, fmt.Errorf("the resn client: %w", err)
	}
	add(RESN, noticed, client.HTTP().Transport, client.Close)
	return all, client, nil
}

// counter counts the requests that it sends, over connections of its own.
type counter struct {
	next *http.Transport
	n    atomic.Int64
}

func newCounter() *counter {
	return &counter{next: &http.Transport{MaxIdleConnsPerHost: 64}}
}

func (c *counter) RoundTrip(req *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(req)
}

func (c *counter) CloseIdleConnections() { c.next.CloseIdleConnections() }

// alwaysRevalidate takes from responses what would let a cache reuse them
// without asking, as careful clients do that trust nothing but an ETag.
type alwaysRevalidate struct{ next http.RoundTripper }

func (a alwaysRevalidate) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(req)
	if err == nil {
		resp.Header.Set("Cache-Control", "no-cache")
		resp.Header.Del("Expires")
	}
	return resp, err
}

// record enters one page into the strategy's figures.
func (s *strategy) record(p *storefront.Page, requests int64, truth *ledger) {
	s.figures.Pages++
	s.requests += requests
	s.pages.add(p.Took)
	if p.Err != nil || !p.Remembered.IsZero() {
		s.figures.Errors++
	}
	for i := range p.Items {
		it := &p.Items[i]
		if it.Restaurant == nil {
			s.figures.Errors++
			continue
		}
		s.figures.ItemsShown++
		v := truth.judge(it.Href, it.ETag, it.Began)
		s.staleness.add(v.staleness)
		if v.staleness > 0 {
			s.figures.StaleItemsShown++
		}
		if v.afterNotice {
			s.figures.StaleAfterNotice++
		}
	}
}

// quiet enters a page during which nothing changed.
func (s *strategy) quiet(requests int64) {
	s.figures.QuietPages++
	s.figures.QuietPageRequests = max(s.figures.QuietPageRequests, int(requests))
}

func (s *strategy) report() Figures {
	f := s.figures
	f.Name = s.name
	f.PageP50, f.PageP99 = ms(s.pages.percentile(0.5)), ms(s.pages.percentile(0.99))
	f.StalenessP50, f.StalenessP99 = ms(s.staleness.percentile(0.5)), ms(s.staleness.percentile(0.99))
	f.StalenessMax = ms(s.staleness.max)
	if f.Pages > 0 {
		f.RequestsPerPage = round(float64(s.requests) / float64(f.Pages))
	}
	return f
}
