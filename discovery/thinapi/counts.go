package thinapi

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bounds of the latency histogram.
func bounds() [10]time.Duration {
	const ms = time.Millisecond
	return [...]time.Duration{1 * ms, 2500 * time.Microsecond, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, time.Second, 5 * time.Second}
}

// counter counts what a rule did. It outlives the rule's changes.
type counter struct {
	classes       [6]atomic.Uint64 // by the first digit of the status
	took          [11]atomic.Uint64
	nanos         atomic.Int64
	throttled     atomic.Uint64
	untold        atomic.Uint64
	deprecated    atomic.Uint64
	shadowed      atomic.Uint64
	shadowDropped atomic.Uint64
	shadowFailed  atomic.Uint64
}

// done counts an answer: for forwarded requests the time until its header.
func (c *counter) done(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < len(c.classes) {
		c.classes[class].Add(1)
	}
	i := 0
	for _, b := range bounds() {
		if took <= b {
			break
		}
		i++
	}
	c.took[i].Add(1)
	c.nanos.Add(int64(took))
}

// counters are those of all rules, and of requests that no rule is about.
type counters struct {
	refused, unmatched, late, gone atomic.Uint64

	mu    sync.Mutex
	rules map[string]*counter
}

func (c *counters) of(id string) *counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules == nil {
		c.rules = map[string]*counter{}
	}
	if c.rules[id] == nil {
		c.rules[id] = &counter{}
	}
	return c.rules[id]
}

// keep forgets the counters of rules that are gone.
func (c *counters) keep(ids map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.rules, func(id string, _ *counter) bool { return !ids[id] })
}

// Counts is what a handler did since it began.
type Counts struct {
	Refused   uint64 // by the guard, before any rule
	Unmatched uint64 // no rule answers them
	Late      uint64 // their deadline passed
	Gone      uint64 // their client went away
	Rules     map[string]RuleCounts
}

// RuleCounts is what one rule did.
type RuleCounts struct {
	Answers         [6]uint64     // by the first digit of the status
	Took            time.Duration // until the answers' headers, in sum
	Throttled       uint64
	Untold          uint64 // the limiter couldn't tell, and they passed
	Deprecated      uint64
	Shadowed        uint64
	ShadowsDropped  uint64 // no room, or the body was too large
	ShadowsFailed   uint64
	LatencyBuckets  [11]uint64 // not cumulative, the last without bound
	latencyObserved uint64
}

// Counts returns the counts of this moment.
func (h *Handler) Counts() Counts {
	c := &h.counters
	out := Counts{
		Refused: c.refused.Load(), Unmatched: c.unmatched.Load(), Late: c.late.Load(), Gone: c.gone.Load(),
		Rules: map[string]RuleCounts{},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, r := range c.rules {
		n := RuleCounts{
			Took: time.Duration(r.nanos.Load()), Throttled: r.throttled.Load(), Untold: r.untold.Load(), Deprecated: r.deprecated.Load(),
			Shadowed: r.shadowed.Load(), ShadowsDropped: r.shadowDropped.Load(), ShadowsFailed: r.shadowFailed.Load(),
		}
		for i := range n.Answers {
			n.Answers[i] = r.classes[i].Load()
		}
		for i := range n.LatencyBuckets {
			n.LatencyBuckets[i] = r.took[i].Load()
			n.latencyObserved += n.LatencyBuckets[i]
		}
		out.Rules[id] = n
	}
	return out
}

// WriteTo writes the counts in the text format that Prometheus reads.
func (c Counts) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	metric := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP thinapi_%s %s\n# TYPE thinapi_%s %s\n", name, help, name, kind)
	}
	metric("unruled_requests_total", "counter", "Requests that no rule decided.")
	for _, e := range []struct {
		why string
		n   uint64
	}{{"refused", c.Refused}, {"unmatched", c.Unmatched}, {"late", c.Late}, {"gone", c.Gone}} {
		fmt.Fprintf(&b, "thinapi_unruled_requests_total{why=%q} %d\n", e.why, e.n)
	}
	ids := slices.Sorted(maps.Keys(c.Rules))
	metric("answers_total", "counter", "Answers by rule and class of status.")
	for _, id := range ids {
		for class, n := range c.Rules[id].Answers {
			if n > 0 {
				fmt.Fprintf(&b, "thinapi_answers_total{rule=%q,class=\"%dxx\"} %d\n", id, class, n)
			}
		}
	}
	metric("events_total", "counter", "What rules did beside answering.")
	for _, id := range ids {
		r := c.Rules[id]
		for _, e := range []struct {
			what string
			n    uint64
		}{
			{"throttled", r.Throttled}, {"throttle_untold", r.Untold}, {"deprecated", r.Deprecated},
			{"shadowed", r.Shadowed}, {"shadow_dropped", r.ShadowsDropped}, {"shadow_failed", r.ShadowsFailed},
		} {
			if e.n > 0 {
				fmt.Fprintf(&b, "thinapi_events_total{rule=%q,what=%q} %d\n", id, e.what, e.n)
			}
		}
	}
	metric("answer_seconds", "histogram", "Time until an answer's header.")
	for _, id := range ids {
		r := c.Rules[id]
		sum := uint64(0)
		for i, bound := range bounds() {
			sum += r.LatencyBuckets[i]
			fmt.Fprintf(&b, "thinapi_answer_seconds_bucket{rule=%q,le=\"%g\"} %d\n", id, bound.Seconds(), sum)
		}
		fmt.Fprintf(&b, "thinapi_answer_seconds_bucket{rule=%q,le=\"+Inf\"} %d\n", id, r.latencyObserved)
		fmt.Fprintf(&b, "thinapi_answer_seconds_sum{rule=%q} %g\nthinapi_answer_seconds_count{rule=%q} %d\n", id, r.Took.Seconds(), id, r.latencyObserved)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
