package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/reference-services/internal/system"
)

// audit is a durable group that has heard every notice since it was made.
type audit struct {
	mu     sync.Mutex
	etags  map[string]map[string]bool // href → versions announced
	seqs   map[uint64]int
	means  map[uint64]string // number → what it announced
	reused []string          // numbers that announced two things
	epochs map[string]bool
}

func newAudit() *audit {
	return &audit{etags: map[string]map[string]bool{}, seqs: map[uint64]int{}, means: map[uint64]string{}, epochs: map[string]bool{}}
}

func (a *audit) handle(_ context.Context, d *bus.Delivery) error {
	if d.Event.Type == "resn.watermark" {
		return nil
	}
	seq, err := strconv.ParseUint(d.Event.Extensions["sequence"], 10, 64)
	if err != nil {
		return nil // a notice without a number shows up as a hole
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.etags[d.Event.Subject] == nil {
		a.etags[d.Event.Subject] = map[string]bool{}
	}
	a.etags[d.Event.Subject][d.Event.Extensions["etag"]] = true
	a.seqs[seq]++
	what := d.Event.Type + " " + d.Event.Subject + " " + d.Event.Extensions["etag"]
	if before, ok := a.means[seq]; ok && before != what {
		a.reused = append(a.reused, fmt.Sprintf("%d: %s, then %s", seq, before, what))
	}
	a.means[seq] = what
	a.epochs[d.Event.Extensions["epoch"]] = true
	return nil
}

func (a *audit) heard(href, etag string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.etags[href][etag]
}

// restaurant is one that the test changes. Only its worker touches it.
type restaurant struct {
	href, etag, name string
	begun            string // the name that an update asked for last, answered or not
	renamed          int
	acknowledged     []string // versions
}

// change renames restaurants in turn until ctx ends or the owner is gone.
func change(ctx context.Context, of []*restaurant, done func()) {
	for n := 0; ctx.Err() == nil; n++ {
		r := of[n%len(of)]
		r.renamed++
		r.begun = fmt.Sprintf("Crash Test %d", r.renamed) // new each time, or it would be no change
		etag, err := rename(ctx, r.href, r.etag, r.begun)
		if err != nil {
			return // the one that was under way may or may not be in force
		}
		r.etag, r.name = etag, r.begun
		r.acknowledged = append(r.acknowledged, etag)
		done()
	}
}

// Whatever the owner has acknowledged is in force and announced, however the
// process ends: the change and its notice are one transaction.
func TestAKillLosesNeitherAChangeNorItsNotice(t *testing.T) {
	args := []string{
		"up", "--data", t.TempDir(), "--city", "40",
		"--listen", address(t), "--restaurants-listen", address(t), "--nats-listen", address(t),
	}
	first := start(t, args...)
	b, err := system.ConnectBus(t.Context(), busURL(first), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Shutdown(context.Background()) }()
	a := newAudit()
	if _, err := b.Group(t.Context(), "restaurants", "audit", a.handle, nil); err != nil {
		t.Fatal(err)
	}

	var all []*restaurant
	for _, it := range nearby(t, first.said["storefront"]).Embedded.Items {
		all = append(all, &restaurant{href: it.Links.Self.Href, etag: it.ETag, name: it.Name})
	}
	if len(all) < 8 {
		t.Fatalf("the page has %d restaurants; a city of 40 was asked for", len(all))
	}
	for round := range 2 {
		var (
			mu      sync.Mutex
			changes int
			wg      sync.WaitGroup
			enough  = make(chan struct{})
		)
		for part := range slices.Chunk(all, (len(all)+3)/4) {
			wg.Go(func() {
				change(t.Context(), part, func() {
					mu.Lock()
					defer mu.Unlock()
					if changes++; changes == 150 {
						close(enough)
					}
				})
			})
		}
		<-enough
		first.kill() // in the middle of the stream
		wg.Wait()
		t.Logf("round %d: killed after %d acknowledged changes", round+1, changes)
		first = start(t, args...)
		check(t, all)
	}
	acknowledged := 0
	for _, r := range all {
		acknowledged += len(r.acknowledged)
		for _, etag := range r.acknowledged {
			eventually(t, "the notice of "+r.href+" at version "+etag, func() bool { return a.heard(r.href, etag) })
		}
	}
	a.check(t, acknowledged)
	t.Logf("%d acknowledged changes, all in force and announced", acknowledged)
	first.stop()
}

// busURL returns where the embedded bus of a program listens.
func busURL(p *program) string {
	var url string
	_, _ = fmt.Sscan(p.said["bus"], &url)
	return url
}

// check requires that every acknowledged change is in force. The one update
// that was under way for each worker may be, too.
func check(t *testing.T, all []*restaurant) {
	t.Helper()
	for _, r := range all {
		var doc struct{ Name string }
		header := fetch(t, r.href, &doc)
		if doc.Name != r.name && doc.Name != r.begun {
			t.Errorf("%s is called %q after the kill; %q was acknowledged", r.href, doc.Name, r.name)
		}
		r.etag, r.name = header.Get("ETag"), doc.Name
	}
}

// check requires that the numbers of notices have no hole, one meaning each and
// one epoch.
func (a *audit) check(t *testing.T, acknowledged int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.epochs) != 1 {
		t.Errorf("notices come from %d epochs; a restart goes on with the one it had", len(a.epochs))
	}
	if len(a.reused) > 0 {
		t.Errorf("%d numbers were given to two notices each, of which readers take the second for a repeat of the first; the first few are %q", len(a.reused), a.reused[:min(3, len(a.reused))])
	}
	seqs := slices.Sorted(maps.Keys(a.seqs))
	for i := 1; i < len(seqs); i++ {
		if seqs[i] != seqs[i-1]+1 {
			t.Errorf("after notice %d comes %d; a hole is a notice that was lost", seqs[i-1], seqs[i])
		}
	}
	repeated := 0
	for _, n := range a.seqs {
		repeated += n - 1
	}
	if len(seqs) < acknowledged {
		t.Errorf("%d numbers for %d acknowledged changes; each has one", len(seqs), acknowledged)
	}
	t.Logf("notices %d to %d without a hole, %d of them repeated", seqs[0], seqs[len(seqs)-1], repeated)
}
