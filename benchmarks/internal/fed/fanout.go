package fed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// Fanout measures what one delivery of a notice to one reader costs all in all, in
// processor time: the server's part, both sides' sockets, and the decoding, over an
// embedded NATS server and TCP. Core says by core NATS instead of JetStream.
func Fanout(ctx context.Context, core bool) (perDelivery time.Duration, err error) {
	const readers, notices = 20, 5000
	server, err := embedded.Start(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer server.Shutdown()
	var all sync.WaitGroup
	all.Add(readers)
	open := func() (*bus.Bus, error) {
		return natsbus.Open(ctx, server.URL(), &natsbus.Options{Core: core, InMemory: true, Prefix: "fanout"})
	}
	from, err := open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = from.Shutdown(context.WithoutCancel(ctx)) }()
	for range readers {
		to, err := open()
		if err != nil {
			return 0, err
		}
		defer func() { _ = to.Shutdown(context.WithoutCancel(ctx)) }()
		left := notices
		_, err = to.Broadcast(ctx, "items", bus.BroadcastHandler{Event: func(bus.Event) {
			if left--; left == 0 {
				all.Done()
			}
		}}, nil)
		if err != nil {
			return 0, err
		}
	}
	msg, err := Notice("items", 203, 1)
	if err != nil {
		return 0, err
	}
	var e bus.Event
	if err := e.UnmarshalJSON(msg.Body); err != nil {
		return 0, err
	}
	began, err := ProcessorTime()
	if err != nil {
		return 0, err
	}
	batch := make([]bus.Event, 100)
	for i := range batch {
		batch[i] = e
		batch[i].ID = ""
	}
	for range notices / len(batch) {
		if err := from.Publish(ctx, "items", batch...); err != nil {
			return 0, err
		}
	}
	arrived := make(chan struct{})
	go func() { all.Wait(); close(arrived) }()
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		return 0, errors.New("not every reader got every notice within a minute")
	}
	ended, err := ProcessorTime()
	return (ended - began) / (readers * notices), err
}
