package nplusone

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// updater changes the items of the page through the domain service's API, at
// a steady rate, and tells the ledger what the owner acknowledged.
type updater struct {
	http  *http.Client
	truth *ledger
	tick  *activity
	rate  float64
	items []*changing

	done   atomic.Int64 // acknowledged
	failed atomic.Int64
	mu     sync.Mutex
	err    error // the last failure
}

// changing is one item with what its next PATCH needs.
type changing struct {
	href, name string
	etag       string
	n          int
}

// updateWorkers is how many updates may be under way at once. Every item
// belongs to one worker, so no two updates of the same item race.
const updateWorkers = 4

// run makes updates until ctx ends. Ticks that find their worker busy are
// dropped, so a slow owner is not buried.
func (u *updater) run(ctx context.Context) {
	var wg sync.WaitGroup
	queues := make([]chan *changing, updateWorkers)
	for i := range queues {
		queues[i] = make(chan *changing, 1)
		wg.Go(func() {
			for it := range queues[i] {
				it.n++
				u.patch(ctx, it, fmt.Sprintf("%s · %d", it.name, it.n))
			}
		})
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / u.rate))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			for _, q := range queues {
				close(q)
			}
			wg.Wait()
			return
		case <-ticker.C:
			i := n % len(u.items)
			select {
			case queues[i%updateWorkers] <- u.items[i]:
			default:
			}
		}
	}
}

// patch changes one item's name (RFC 7396) on condition that it still is as
// known. The change is in force when the owner answers, at the latest.
func (u *updater) patch(ctx context.Context, it *changing, name string) {
	// An update that was begun is waited for, or the ledger would not know it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	u.tick.begin()
	defer u.tick.end()
	etag, err := u.send(ctx, it, name)
	if err != nil {
		u.failed.Add(1)
		u.mu.Lock()
		u.err = err
		u.mu.Unlock()
		return
	}
	u.truth.commit(it.href, etag, time.Now())
	it.etag = etag
	u.done.Add(1)
}

func (u *updater) send(ctx context.Context, it *changing, name string) (etag string, err error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, it.href, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/merge-patch+json")
	req.Header.Set("If-Match", it.etag)
	resp, err := u.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	etag = resp.Header.Get("ETag")
	if resp.StatusCode == http.StatusPreconditionFailed && etag != "" {
		it.etag = etag // somebody else changed it; the next one will succeed
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("PATCH %s: %s: %s", it.href, resp.Status, bytes.TrimSpace(answer))
	}
	if etag == "" {
		return "", fmt.Errorf("PATCH %s: the answer has no ETag", it.href)
	}
	return etag, nil
}

// restore gives the items back the names that they had.
func (u *updater) restore(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(updateWorkers)
	for _, it := range u.items {
		if it.n > 0 && ctx.Err() == nil {
			g.Go(func() error {
				u.patch(ctx, it, it.name)
				return nil
			})
		}
	}
	_ = g.Wait()
}

// lastError returns the last failure, if there was one.
func (u *updater) lastError() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// activity tells pages during which nothing changed from the others.
type activity struct {
	events   atomic.Int64 // updates begun and ended, notices taken in
	underway atomic.Int64
}

func (a *activity) begin() { a.underway.Add(1); a.events.Add(1) }
func (a *activity) end()   { a.events.Add(1); a.underway.Add(-1) }

// moment is a point in time to compare with a later one.
type moment struct {
	events int64
	still  bool
}

func (a *activity) now() moment { return moment{a.events.Load(), a.underway.Load() == 0} }

// quietSince says whether nothing has changed, nor was changing, since m.
func (a *activity) quietSince(m moment) bool { return m.still && a.events.Load() == m.events }
