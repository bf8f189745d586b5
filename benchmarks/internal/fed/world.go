package fed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// World is how many of each there are.
type World struct {
	Readers int     // processes that read
	Topics  int     // that are announced
	Listens int     // topics that a reader listens to
	Changes int     // a second, over all topics
	Marks   float64 // watermarks a second, for each topic
	Held    int     // entries of each reader
}

// Load is what a second of a World costs.
type Load struct {
	Published  float64       // messages a second at the bus
	Delivered  float64       // messages a second that the bus hands to readers
	PublishedB float64       // bytes a second into the bus
	DeliveredB float64       // and out of it
	Owners     time.Duration // processor time of all relays
	Reader     time.Duration // of one reader
	ReaderB    int           // heap of one reader, without its entries
}

// Compute says what a World costs by what one of each costs. A notice that a
// reader hears is about something that it holds as often as it holds much of what
// its topics have; hold is that share.
func (w World) Compute(c Costs, hold float64) Load {
	share := float64(w.Listens) / float64(w.Topics)
	marks := w.Marks * float64(w.Topics)
	changes := float64(w.Changes)
	l := Load{
		Published:  changes + marks,
		Delivered:  (changes + marks) * share * float64(w.Readers),
		PublishedB: changes*float64(c.NoticeBytes) + marks*float64(c.WatermarkBytes),
		Owners:     time.Duration(changes * float64(c.Encode)),
		ReaderB:    w.Listens*c.TopicBytes + c.LedgerBytes,
	}
	l.DeliveredB = l.PublishedB * share * float64(w.Readers)
	notice := hold*float64(c.Held) + (1-hold)*float64(c.Unheld)
	l.Reader = time.Duration(share * (changes*notice + marks*float64(c.Watermark)))
	return l
}

// Simulate runs a second of the World with some of its readers, the real ones, and
// returns what one of them used, and how many messages it took in.
func (w World) Simulate(ctx context.Context, readers int) (used time.Duration, taken int, err error) {
	rng := rand.New(rand.NewPCG(1, 2))
	topics := make([]string, w.Topics)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic-%d", i)
	}
	all := make([]*Reader, readers)
	listeners := map[string][]*Reader{}
	for i := range all {
		mine := make([]string, 0, w.Listens)
		for _, t := range rng.Perm(w.Topics)[:w.Listens] {
			mine = append(mine, topics[t])
		}
		if all[i], err = New(ctx, newOwner(mine[0]), mine...); err != nil {
			return 0, 0, err
		}
		defer all[i].Close()
		if err := all[i].fill(ctx, mine[0], w.Held); err != nil {
			return 0, 0, err
		}
		for _, t := range mine {
			listeners[t] = append(listeners[t], all[i])
		}
	}
	seq := map[string]uint64{}
	every := int(float64(w.Changes) / (w.Marks * float64(w.Topics))) // changes between two watermarks
	for i := range w.Changes {
		topic := topics[rng.IntN(w.Topics)]
		seq[topic]++
		m, err := Notice(topic, rng.IntN(100_000), seq[topic])
		if err != nil {
			return 0, 0, err
		}
		if used, err = hand(listeners[topic], topic, m, used); err != nil {
			return 0, 0, err
		}
		taken += len(listeners[topic])
		if i%max(every, 1) == 0 {
			topic := topics[i/max(every, 1)%w.Topics]
			m, err := Watermark(topic, seq[topic])
			if err != nil {
				return 0, 0, err
			}
			if used, err = hand(listeners[topic], topic, m, used); err != nil {
				return 0, 0, err
			}
			taken += len(listeners[topic])
		}
	}
	for _, r := range all {
		for _, s := range r.Listener.Topics() {
			if s.Sequence != seq[s.Topic] || s.Rejected > 0 {
				return 0, 0, fmt.Errorf("a reader has not heard everything: %+v", s)
			}
		}
	}
	return used / time.Duration(readers), taken / readers, nil
}

// hand gives a message to everybody who listens and counts their time.
func hand(to []*Reader, topic string, m driver.Message, used time.Duration) (time.Duration, error) {
	began, err := ProcessorTime()
	if err != nil {
		return 0, err
	}
	for _, r := range to {
		r.Feed(topic, m)
	}
	ended, err := ProcessorTime()
	return used + ended - began, err
}
