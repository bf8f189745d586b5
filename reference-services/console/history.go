package console

import (
	"slices"
	"time"

	"github.com/goswale/swale/cache"
)

// kept is how many answers are kept of an instance: two minutes of them, when it
// is asked once a second.
const kept = 120

// history is what an instance said lately, the newest last.
type history struct {
	said      []said
	staleness map[string][]time.Duration // by topic
}

func (h *history) add(s said) {
	h.said = latest(append(h.said, s))
	now := make(map[string][]time.Duration, len(s.Topics))
	for _, t := range s.Topics {
		now[t.Topic] = latest(append(h.staleness[t.Topic], t.Staleness))
	}
	if s.Err == nil {
		h.staleness = now // what it has no part in any more is forgotten
	}
}

// latest keeps the newest of a list, in memory of its own when it shrinks.
func latest[T any](list []T) []T {
	if len(list) <= kept {
		return list
	}
	return append(list[:0], list[len(list)-kept:]...)
}

// now is the latest that it said, and why it says nothing any more.
func (h *history) now() (said, error) {
	last := h.said[len(h.said)-1]
	for _, s := range slices.Backward(h.said) {
		if s.Err == nil {
			return s, last.Err
		}
	}
	return last, last.Err
}

// rates are what a cache did a second.
type rates struct {
	Answered float64 // requests
	Asked    float64 // requests sent to owners
	Saved    float64 // percent of requests that needed nobody
}

// rates returns what the instance's cache did over the last ten answers that it
// gave. One that began anew counts from there.
func (h *history) rates() (r rates, ok bool) {
	var first, last *said
	for i := len(h.said) - 1; i >= max(0, len(h.said)-10); i-- {
		s := &h.said[i]
		if s.Cache == nil {
			continue
		}
		if first != nil && (s.Cache.Hits > first.Cache.Hits || asked(s.Cache) > asked(first.Cache)) {
			break // the process before
		}
		if last == nil {
			last = s
		}
		first = s
	}
	if last == nil || first == last {
		return rates{}, false
	}
	seconds := last.At.Sub(first.At).Seconds()
	hits, questions := float64(last.Cache.Hits-first.Cache.Hits), float64(asked(last.Cache)-asked(first.Cache))
	r.Answered, r.Asked = (hits+questions)/seconds, questions/seconds
	if hits+questions > 0 {
		r.Saved = 100 * hits / (hits + questions)
	}
	return r, true
}

// asked is how often owners were asked.
func asked(s *cache.Stats) uint64 { return s.Misses + s.Validations + s.Bypassed }
