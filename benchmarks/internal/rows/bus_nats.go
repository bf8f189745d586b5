package rows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

const (
	natsBurst   = 4096 // messages of one operation
	natsWindow  = 4096 // unconfirmed publishes, on both sides
	natsHeld    = 1000 // unacked deliveries, on both sides: JetStream's default
	natsTurns   = 1500 // requests of each side in a round
	natsPatient = 30 * time.Second

	// The raw side's subject is as long as that of our topic "x", whose every
	// message carries it and whose every ack carries the stream's name.
	rawSubject    = "rival.e.0.x"
	rawStreamName = "rival-events"
)

func natsRows() []ratio.Row {
	row := func(name string, bound ratio.Bound, note string, open func(*natsSides) (func() (float64, error), error)) ratio.Row {
		return ratio.Row{Name: name, Unit: "x", Bound: bound, Note: note, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			s, err := openNATS(ctx)
			if err != nil {
				return nil, nil, err
			}
			round, err := open(s)
			if err != nil {
				s.close()
				return nil, nil, err
			}
			return round, s.close, nil
		}}
	}
	return []ratio.Row{
		row("bus.nats.publish.vs_raw", ratio.AtLeast(0.9), "events published asynchronously to JetStream's files and confirmed, against PublishAsync of nats.go with the same bytes, into a stream with the same limits", (*natsSides).publish),
		row("bus.nats.consume.vs_raw", ratio.AtLeast(0.9), "events published and confirmed, consumed by a Shared group and acked, against PublishAsync and Consume of nats.go with the same bytes and limits, which promises as little of the order between processes", func(s *natsSides) (func() (float64, error), error) { return s.consume(true) }),
		row("bus.nats.consume_exclusive.vs_raw", ratio.Bound{}, "the same by a group that keeps the order per key across processes, the default", func(s *natsSides) (func() (float64, error), error) { return s.consume(false) }),
		row("bus.core.vs_raw", ratio.AtLeast(0.7), "events over core NATS, 64 to each Publish, encoded, broadcast and decoded, against Publish and Subscribe of nats.go with the same bytes each", func(s *natsSides) (func() (float64, error), error) { return s.core(64) }),
		row("bus.core_singly.vs_raw", ratio.Bound{}, "the same, one event to each PublishAsync", func(s *natsSides) (func() (float64, error), error) { return s.core(1) }),
		row("bus.request.vs_raw", ratio.AtMost(1.1), "median of request and reply between two connections, against nats.go with the same bytes", func(s *natsSides) (func() (float64, error), error) { return s.request(0.5) }),
		row("bus.request_p99.vs_raw", ratio.AtMost(1.2), "99th percentile of the same", func(s *natsSides) (func() (float64, error), error) { return s.request(0.99) }),
		row("bus.ask.vs_raw", ratio.Bound{}, "median of the same bytes as question and answer without an event: what is left of bus.request.vs_raw is encoding and decoding", (*natsSides).ask),
	}
}

// natsSides is a server in a process of its own with the bus on one side and the raw client on
// the other, over TCP, each with a connection to send and one to receive.
type natsSides struct {
	ctx            context.Context //nolint:containedctx // of the whole row
	url            string          // the server's
	from, to       *bus.Bus
	rawFrom, rawTo *nats.Conn
	event          bus.Event
	body           []byte // the event, encoded
	closers        []func()
}

func openNATS(ctx context.Context) (s *natsSides, err error) {
	s = &natsSides{ctx: ctx, event: sampleEvent()}
	s.event.Data, s.event.DataContentType = nil, "" // 200 bytes
	if s.body, err = s.event.AppendJSON(nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var stop func()
	if s.url, stop, err = apart.NATS(ctx); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, stop)
	for _, b := range []**bus.Bus{&s.from, &s.to} {
		if *b, err = s.bus(&natsbus.Options{Bus: bus.Options{Window: natsWindow}}); err != nil {
			return nil, err
		}
	}
	for _, nc := range []**nats.Conn{&s.rawFrom, &s.rawTo} {
		if *nc, err = nats.Connect(s.url); err != nil {
			return nil, err
		}
		s.closers = append(s.closers, (*nc).Close)
	}
	return s, nil
}

func (s *natsSides) bus(opts *natsbus.Options) (*bus.Bus, error) {
	b, err := natsbus.Open(s.ctx, s.url, opts)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), natsPatient)
		defer cancel()
		_ = b.Shutdown(ctx)
	})
	return b, nil
}

func (s *natsSides) close() {
	for _, closer := range slices.Backward(s.closers) {
		closer()
	}
}

// publish compares bursts that end when everything is confirmed.
func (s *natsSides) publish() (func() (float64, error), error) {
	js, err := s.rawStream()
	if err != nil {
		return nil, err
	}
	theirs := func() error {
		for range natsBurst {
			if _, err := js.PublishAsync(rawSubject, s.body); err != nil {
				return err
			}
		}
		<-js.PublishAsyncComplete()
		return nil
	}
	return ratio.Rate(s.burst, theirs), nil
}

// burst publishes to the topic "x" and waits for the confirmations.
func (s *natsSides) burst() error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	done := func(err error) {
		if err != nil {
			failed.Store(&err)
		}
		all.Done()
	}
	for range natsBurst {
		all.Add(1)
		if err := s.from.PublishAsync(s.ctx, "x", s.event, done); err != nil {
			return err
		}
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// rawStream makes the raw side's stream like the one of our events: what a stream
// keeps, and for how long, costs the server time with each message.
func (s *natsSides) rawStream() (jetstream.JetStream, error) {
	js, err := jetstream.New(s.rawFrom, jetstream.WithPublishAsyncMaxPending(natsWindow))
	if err != nil {
		return nil, err
	}
	ours, err := js.Stream(s.ctx, "swale-events")
	if err != nil {
		return nil, err
	}
	config := ours.CachedInfo().Config
	config.Name, config.Subjects = rawStreamName, []string{"rival.e.0.>"}
	_, err = js.CreateStream(s.ctx, config)
	return js, err
}

// arrivals counts what a consumer gets.
type arrivals struct {
	n    atomic.Int64
	full chan struct{} // a burst has arrived
	lost atomic.Bool
}

func newArrivals() *arrivals { return &arrivals{full: make(chan struct{}, 1)} }

func (a *arrivals) add() {
	if a.n.Add(1)%natsBurst == 0 {
		a.full <- struct{}{}
	}
}

// state has a burst fail that lost something.
func (a *arrivals) state(s bus.State) {
	if s.Kind == bus.Lost {
		a.lost.Store(true)
	}
}

func (a *arrivals) wait() error {
	if a.lost.Load() {
		return errors.New("messages were lost")
	}
	select {
	case <-a.full:
		return nil
	case <-time.After(natsPatient):
		return fmt.Errorf("%d messages of %d arrived", a.n.Load()%natsBurst, natsBurst)
	}
}

// consume compares bursts that end when everything was consumed.
func (s *natsSides) consume(shared bool) (func() (float64, error), error) {
	js, err := s.rawStream()
	if err != nil {
		return nil, err
	}
	theirs, ours := newArrivals(), newArrivals()
	rawTo, err := jetstream.New(s.rawTo)
	if err != nil {
		return nil, err
	}
	consumer, err := rawTo.CreateConsumer(s.ctx, rawStreamName, jetstream.ConsumerConfig{Durable: "g", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: rawSubject})
	if err != nil {
		return nil, err
	}
	running, err := consumer.Consume(func(m jetstream.Msg) {
		if m.Ack() == nil {
			theirs.add()
		}
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, running.Stop)
	_, err = s.to.Group(s.ctx, "x", "g", func(context.Context, *bus.Delivery) error { ours.add(); return nil }, &bus.GroupOptions{MaxInFlight: natsHeld, Shared: shared})
	return ratio.Rate(
		func() error { return errors.Join(s.burst(), ours.wait()) },
		func() error {
			for range natsBurst {
				if _, err := js.PublishAsync(rawSubject, s.body); err != nil {
					return err
				}
			}
			<-js.PublishAsyncComplete()
			return theirs.wait()
		}), err
}

// core compares bursts that end when everything has arrived.
func (s *natsSides) core(each int) (func() (float64, error), error) {
	from, err := s.bus(&natsbus.Options{Core: true})
	if err != nil {
		return nil, err
	}
	to, err := s.bus(&natsbus.Options{Core: true})
	if err != nil {
		return nil, err
	}
	theirs, ours := newArrivals(), newArrivals()
	if _, err := s.rawTo.Subscribe("raw", func(*nats.Msg) { theirs.add() }); err != nil {
		return nil, err
	}
	if err := s.rawTo.Flush(); err != nil {
		return nil, err
	}
	_, err = to.Broadcast(s.ctx, "x", bus.BroadcastHandler{
		Event: func(bus.Event) { ours.add() },
		State: func(state bus.State) { ours.state(state) },
	}, nil)
	events := make([]bus.Event, each)
	for i := range events {
		events[i] = s.event
	}
	publish := func() error { return from.Publish(s.ctx, "x", events...) }
	if each == 1 {
		publish = func() error { return from.PublishAsync(s.ctx, "x", s.event, func(error) {}) }
	}
	return ratio.Rate(
		func() error {
			for range natsBurst / each {
				if err := publish(); err != nil {
					return err
				}
			}
			return ours.wait()
		},
		func() error {
			for range natsBurst {
				if err := s.rawFrom.Publish("raw", s.body); err != nil {
					return err
				}
			}
			return theirs.wait()
		}), err
}

// request compares single requests that are answered with what they asked.
func (s *natsSides) request(q float64) (func() (float64, error), error) {
	if _, err := s.rawTo.QueueSubscribe("raw", "g", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return nil, err
	}
	_, err := s.to.Serve(s.ctx, "echo", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil)
	if err != nil {
		return nil, err
	}
	ours := func() error { _, err := s.from.Request(s.ctx, "echo", s.event); return err }
	theirs := func() error { _, err := s.rawFrom.Request("raw", s.body, natsPatient); return err }
	return ratio.Quantile(q, natsTurns, ours, theirs), errors.Join(s.rawTo.Flush(), ours(), theirs())
}

// ask compares questions that are answered with their own bytes.
func (s *natsSides) ask() (func() (float64, error), error) {
	if _, err := s.rawTo.QueueSubscribe("raw", "g", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return nil, err
	}
	_, err := s.to.Questions(s.ctx, "echo", "g", func(q *bus.Question) { q.Answer(q.Data) }, nil)
	if err != nil {
		return nil, err
	}
	ours := func() error { _, err := s.from.Ask(s.ctx, "echo", s.body); return err }
	theirs := func() error { _, err := s.rawFrom.Request("raw", s.body, natsPatient); return err }
	return ratio.Quantile(0.5, natsTurns, ours, theirs), errors.Join(s.rawTo.Flush(), ours(), theirs())
}
