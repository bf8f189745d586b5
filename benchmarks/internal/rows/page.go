package rows

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gregjones/httpcache"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

const (
	pageItems    = 50                    // items on the page, beside the list
	pageAll      = 3000                  // items that there are
	pageChanges  = 10 * time.Millisecond // between two of them
	pageParallel = 8                     // requests of one page at a time
	pageLoads    = 40                    // per round and side
)

func pageRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "page.resn.vs_etag_gregjones", Unit: "x", Bound: ratio.AtMost(0.02),
			Note: "p50 of a warm page of 50 items, followed and decoded by the HAL client on both sides, 100 changes a second over 3,000 items, against ETag revalidation through gregjones/httpcache",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				p, err := openPage(ctx)
				if err != nil {
					return nil, nil, err
				}
				return p.times, p.close, nil
			},
		},
		{
			Name: "page.resn.requests_vs_etag_gregjones", Unit: "x", Bound: ratio.AtMost(0.01),
			Note: "requests that reach the owner for the same pages",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				p, err := openPage(ctx)
				if err != nil {
					return nil, nil, err
				}
				return p.requests, p.close, nil
			},
		},
	}
}

// pages is an owner on a loopback port, whose items change, and two readers of
// the same page: one that is told and one that revalidates.
type pages struct {
	root         string
	versions     [pageAll]atomic.Int64
	asked        atomic.Int64
	ours, theirs *hal.Client
	ctx          context.Context //nolint:containedctx // of the whole row
	close        func()
}

func openPage(ctx context.Context) (*pages, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pages{root: "http://" + ln.Addr().String(), ctx: ctx}
	server := &http.Server{Handler: resn.Stamp("items")(p), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()

	b := membus.New(nil)
	reader, err := resn.NewClient(b, nil)
	if err != nil {
		return nil, err
	}
	stopped, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = p.change(stopped, b)
	}()
	p.close = func() {
		ctx := context.WithoutCancel(ctx)
		stop()
		<-done
		_ = reader.Close(ctx)
		_ = b.Shutdown(ctx)
		_ = server.Close()
	}
	if err := live(ctx, reader, "items"); err != nil {
		p.close()
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 64
	rival := httpcache.NewMemoryCacheTransport()
	rival.Transport = base
	p.ours = hal.NewClient(&hal.ClientOptions{HTTP: reader.HTTP(), Parallel: pageParallel})
	p.theirs = hal.NewClient(&hal.ClientOptions{HTTP: rival.Client(), Parallel: pageParallel})
	for range 2 {
		for _, side := range []*hal.Client{p.ours, p.theirs} {
			if _, err := p.load(side); err != nil {
				p.close()
				return nil, err
			}
		}
	}
	return p, nil
}

// live waits until the topic is.
func live(ctx context.Context, c *resn.Client, topic string) error {
	if err := c.Listen(ctx, topic); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); !c.Topics()[0].Live; {
		if time.Now().After(end) {
			return fmt.Errorf("the topic isn't live: %s", c.Topics()[0].Reason)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a program that waits for a start
	}
	return nil
}

// change changes items until ctx ends.
func (p *pages) change(ctx context.Context, b *bus.Bus) error {
	pub, err := resn.NewPublisher(b, "items", &resn.PublisherOptions{Unowned: true})
	if err != nil {
		return err
	}
	defer func() { _ = pub.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(pageChanges)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		i := rand.IntN(pageAll)
		err := pub.Change(ctx, p.root+"/items/"+strconv.Itoa(i), func(context.Context) (string, string, error) {
			return resn.Update, versionTag(p.versions[i].Add(1)), nil
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func versionTag(n int64) string { return `"v` + strconv.FormatInt(n, 10) + `"` }

// ServeHTTP serves the list and the items: revalidated each time by those who
// know only HTTP, vouched for by notices to those who know more.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	tag, body := `"list"`, ""
	if n, ok := strings.CutPrefix(r.URL.Path, "/items/"); ok {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 || i >= pageAll {
			http.NotFound(w, r)
			return
		}
		version := p.versions[i].Load()
		tag = versionTag(version)
		body = fmt.Sprintf(`{"_links":{"self":{"href":"/items/%d"}},"id":%d,"version":%d,"text":"%s"}`, i, i, version, strings.Repeat("x", 900))
	} else {
		var links strings.Builder
		for i := range pageItems {
			fmt.Fprintf(&links, `,{"href":"/items/%d"}`, i)
		}
		body = `{"_links":{"self":{"href":"/items"},"item":[` + links.String()[1:] + `]}}`
	}
	w.Header().Set("Content-Type", "application/hal+json")
	w.Header().Set("Cache-Control", "max-age=0")
	w.Header().Set("Etag", tag)
	if slices.Contains(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write([]byte(body))
}

// item is one of the page.
type item struct {
	ID      int    `json:"id"`
	Version int64  `json:"version"`
	Text    string `json:"text"`
}

// load loads the list and then the items, and returns how long it took in
// nanoseconds.
func (p *pages) load(c *hal.Client) (float64, error) {
	began := time.Now()
	list, err := hal.Get[hal.Any](p.ctx, c, p.root+"/items")
	if err != nil {
		return 0, err
	}
	items := hal.FollowAll[item](p.ctx, c, list, "item")
	took := float64(time.Since(began).Nanoseconds())
	if len(items) != pageItems {
		return 0, fmt.Errorf("the page has %d items instead of %d", len(items), pageItems)
	}
	for i, it := range items {
		if it.Err != nil {
			return 0, it.Err
		}
		if it.Resource.Value.ID != i {
			return 0, errors.New("the page has another item than it should")
		}
	}
	return took, nil
}

// both loads pages in turns and returns what each side took, and asked.
func (p *pages) both() (times, requests [2][]float64, err error) {
	for range pageLoads {
		for side, c := range []*hal.Client{p.ours, p.theirs} {
			before := p.asked.Load()
			took, err := p.load(c)
			if err != nil {
				return times, requests, err
			}
			times[side] = append(times[side], took)
			requests[side] = append(requests[side], float64(p.asked.Load()-before))
		}
	}
	return times, requests, nil
}

func (p *pages) times() (float64, error) {
	times, _, err := p.both()
	return ratio.Median(times[0]) / ratio.Median(times[1]), err
}

func (p *pages) requests() (float64, error) {
	_, requests, err := p.both()
	return sum(requests[0]) / sum(requests[1]), err
}

func sum(of []float64) (total float64) {
	for _, v := range of {
		total += v
	}
	return total
}
