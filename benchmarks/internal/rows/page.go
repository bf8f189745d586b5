package rows

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gregjones/httpcache"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

const (
	pageItems    = 50 // items on the page, beside the list
	pageParallel = 8  // requests of one page at a time
	pageLoads    = 40 // per round and side
)

func pageRows() []ratio.Row {
	return []ratio.Row{{
		Name: "page.resn.vs_etag_gregjones", Unit: "x", Bound: ratio.AtMost(0.1),
		Note: "p50 of a warm page of 50 items over HTTP, against ETag revalidation through gregjones/httpcache",
		Open: openPage,
	}}
}

// openPage starts an owner on a loopback port and two readers of the same
// pages: one that revalidates and one that is told.
func openPage(ctx context.Context) (round func() (float64, error), closer func(), err error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(serveItem), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	root := "http://" + ln.Addr().String()

	b := membus.New(nil)
	pub, err := resn.NewPublisher(b, "items", nil)
	if err != nil {
		return nil, nil, err
	}
	reader, err := resn.NewClient(b, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := reader.Listen(ctx, "items"); err != nil {
		return nil, nil, err
	}
	closer = func() {
		ctx := context.WithoutCancel(ctx)
		_ = reader.Close(ctx)
		_ = pub.Close(ctx)
		_ = b.Shutdown(ctx)
		_ = server.Close()
	}
	for end := time.Now().Add(5 * time.Second); !reader.Topics()[0].Live; {
		if time.Now().After(end) {
			closer()
			return nil, nil, fmt.Errorf("the topic isn't live: %s", reader.Topics()[0].Reason)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a program that waits for a start
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 64
	rival := httpcache.NewMemoryCacheTransport()
	rival.Transport = base
	ours, theirs := reader.HTTP(), rival.Client()
	for _, warm := range []*http.Client{ours, theirs} {
		for range 2 {
			if _, err := loadPage(ctx, warm, root); err != nil {
				closer()
				return nil, nil, err
			}
		}
	}
	round = func() (float64, error) {
		var a, b []float64
		for range pageLoads {
			mine, err := loadPage(ctx, ours, root)
			if err != nil {
				return 0, err
			}
			other, err := loadPage(ctx, theirs, root)
			if err != nil {
				return 0, err
			}
			a, b = append(a, mine), append(b, other)
		}
		return ratio.Median(a) / ratio.Median(b), nil
	}
	return round, closer, nil
}

// serveItem serves the list and the items: revalidated each time by those who
// know only HTTP, vouched for by notices to those who know more.
func serveItem(w http.ResponseWriter, r *http.Request) {
	const tag = `"v1"`
	w.Header().Set("Content-Type", "application/hal+json")
	w.Header().Set("Cache-Control", `max-age=0, `+resn.Directive("items"))
	w.Header().Set("Etag", tag)
	if slices.Contains(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(oneKB())
}

// loadPage loads the list and then the items, and returns how long it took in
// nanoseconds.
func loadPage(ctx context.Context, c *http.Client, root string) (float64, error) {
	began := time.Now()
	if err := getOnce(ctx, c, root+"/items"); err != nil {
		return 0, err
	}
	var group sync.WaitGroup
	errs := make([]error, pageParallel)
	for worker := range pageParallel {
		group.Go(func() {
			for i := worker; i < pageItems && errs[worker] == nil; i += pageParallel {
				errs[worker] = getOnce(ctx, c, root+"/items/"+strconv.Itoa(i))
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()), nil
}

func getOnce(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != 1024) {
		err = fmt.Errorf("%s: status %d with %d bytes", url, resp.StatusCode, n)
	}
	return err
}
