package nplusone

import (
	"sync"
	"time"
)

// ledger is the truth that pages are judged by: which versions every item has
// had, since when the owner is known to have committed each, and since when
// this process is known to have taken in the notice of each. It is safe for
// concurrent use.
//
// Both are kept apart on purpose. Commits come from the answers to the demo's
// own PATCH requests; notices from a subscription of its own. Neither asks the
// cache that is being judged.
type ledger struct {
	mu    sync.RWMutex
	items map[string]*lifeline
}

// lifeline is one item's history.
type lifeline struct {
	first     string         // the version before the demo began
	position  map[string]int // version → index in committed, from 0
	committed []time.Time    // committed[i]: version i is in force since then at the latest
	noticed   map[string]int // version → index in heard
	heard     []time.Time    // heard[i]: the notice was taken in by then at the latest
}

func newLedger() *ledger { return &ledger{items: map[string]*lifeline{}} }

// begin records the version that an item has before its first update.
func (l *ledger) begin(href, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items[href] = &lifeline{
		first:     version,
		position:  map[string]int{version: 0},
		committed: []time.Time{{}},
		noticed:   map[string]int{},
	}
}

// commit records that a version was in force at the given time, which is the
// time of the owner's answer: the commit itself was somewhat earlier, so no
// strategy is blamed for what it couldn't have known.
func (l *ledger) commit(href, version string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	item := l.items[href]
	if item == nil {
		return
	}
	if _, ok := item.position[version]; ok {
		return
	}
	item.position[version] = len(item.committed)
	item.committed = append(item.committed, at)
}

// notice records that this process had taken in the notice of a version at
// the given time. Notices of one item must come in the order of its versions.
func (l *ledger) notice(href, version string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	item := l.items[href]
	if item == nil || version == "" || version == item.first {
		return
	}
	if _, ok := item.noticed[version]; ok {
		return
	}
	item.noticed[version] = len(item.heard)
	item.heard = append(item.heard, at)
}

// verdict is what the ledger says about one item of one page.
type verdict struct {
	staleness   time.Duration // since when a newer version was in force; 0 is fresh
	afterNotice bool          // and its notice had been taken in
}

// judge says how stale a version was when it was read by a read that began at
// the given time. A newer version was in force when the owner had answered to
// it or its notice had been taken in, whichever came first. A version that the
// ledger doesn't know is newer than what it knows: the owner's answer is still
// on its way.
func (l *ledger) judge(href, version string, began time.Time) verdict {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var v verdict
	item := l.items[href]
	if item == nil {
		return v
	}
	if i, ok := item.position[version]; ok && i+1 < len(item.committed) {
		if since := item.committed[i+1]; since.Before(began) {
			v.staleness = began.Sub(since)
		}
	}
	next := len(item.heard)
	if i, ok := item.noticed[version]; ok {
		next = i + 1
	} else if version == item.first {
		next = 0
	}
	if next < len(item.heard) && item.heard[next].Before(began) {
		v.afterNotice = true
		v.staleness = max(v.staleness, began.Sub(item.heard[next]))
	}
	return v
}
