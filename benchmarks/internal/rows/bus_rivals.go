package rows

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
)

func watermillRows() []ratio.Row {
	row := func(name, note string, bound float64, publishers, batch int) ratio.Row {
		return ratio.Row{Name: name, Unit: "x", Bound: atLeast(bound), Note: note, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			s, err := openNATS(ctx)
			if err != nil {
				return nil, nil, err
			}
			round, err := s.watermill(publishers, batch)
			if err != nil {
				s.close()
				return nil, nil, err
			}
			return round, s.close, nil
		}}
	}
	return []ratio.Row{
		row("bus.nats.publish_64.vs_watermill", "64 publishers, 32 events to each Publish, confirmed by JetStream, against as many messages to Publish of watermill-nats", 2, 64, 32),
		row("bus.nats.publish_1.vs_watermill", "one publisher, 1024 events to each Publish, the same", 9, 1, 1024),
		row("bus.nats.publish_64_singly.vs_watermill", "64 publishers, one event to each Publish, the same", 0, 64, 1),
	}
}

// atLeast returns no bound for 0.
func atLeast(limit float64) ratio.Bound {
	if limit == 0 {
		return ratio.Bound{}
	}
	return ratio.AtLeast(limit)
}

// watermill compares so many publishers that give so many events to each Publish,
// both of which return when JetStream has confirmed.
func (s *natsSides) watermill(publishers, batch int) (func() (float64, error), error) {
	if _, err := s.rawStream(); err != nil {
		return nil, err
	}
	pub, err := wmnats.NewPublisher(wmnats.PublisherConfig{URL: s.url}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = pub.Close() })
	events := make([]bus.Event, batch)
	for i := range events {
		events[i] = s.event
	}
	each := max(natsBurst/2/publishers/batch, 1)
	ours := func() error { return s.from.Publish(s.ctx, "x", events...) }
	theirs := func() error {
		messages := make([]*message.Message, batch)
		for i := range messages {
			messages[i] = message.NewMessage(watermill.NewUUID(), s.body)
		}
		return pub.Publish(rawSubject, messages...)
	}
	return ratio.Rate(crowd(publishers, each, ours), crowd(publishers, each, theirs)), nil
}

// crowd returns an operation that has so many goroutines do op so often each.
func crowd(n, each int, op ratio.Op) ratio.Op {
	return func() error {
		var group sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			group.Go(func() {
				for k := 0; k < each && errs[i] == nil; k++ {
					errs[i] = op()
				}
			})
		}
		group.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}
