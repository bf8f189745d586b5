package outbox

import (
	"cmp"
	"slices"
	"time"
)

// RelayStats is what a relay knows about itself.
type RelayStats struct {
	// Leading says that this relay is the one that publishes.
	Leading bool
	// Published counts events that the bus has safe, repetitions included.
	Published uint64
	// Watermarks counts watermarks.
	Watermarks uint64
	// Failures counts failures of the bus and the database.
	Failures uint64
	// LastError is the text of the latest failure.
	LastError string
	// Topics are the topics, in alphabetical order; empty unless Leading.
	Topics []TopicStats
}

// TopicStats is what a leading relay knows about a topic.
type TopicStats struct {
	// Topic is its name.
	Topic string
	// Published is the last number that the bus has safe.
	Published uint64
	// Waiting counts events that are numbered and not yet published.
	Waiting uint64
	// Lag is the age of the oldest event that waits; 0 if none does. It counts from
	// Append by the database's clock, or the relay's on SQLite.
	Lag time.Duration
	// Watermark is the T of the newest watermark; zero before the first.
	Watermark time.Time
	// Failures counts the failures since the last success.
	Failures int
}

// Stats returns what the relay knows. It doesn't touch the database.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	if r.term == nil {
		return s
	}
	s.Leading = true
	now := r.box.opts.Clock()
	for _, t := range r.term.topics {
		ts := TopicStats{Topic: t.name, Published: t.published, Waiting: t.last - t.published, Watermark: t.marked.t, Failures: t.failures}
		if len(t.queue) > 0 {
			ts.Lag = max(0, now.Sub(t.queue[0].Appended))
		}
		s.Topics = append(s.Topics, ts)
	}
	slices.SortFunc(s.Topics, func(a, b TopicStats) int { return cmp.Compare(a.Topic, b.Topic) })
	return s
}
