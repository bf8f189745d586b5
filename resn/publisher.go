package resn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// DefaultWatermarkInterval is how often a [Publisher] writes its watermark.
const DefaultWatermarkInterval = 250 * time.Millisecond

// PublisherOptions configures a [Publisher]. The zero value, and nil, are
// useful.
type PublisherOptions struct {
	// Source names the owner in CloudEvents. Default "/" and the topic.
	Source string

	// WatermarkInterval is the time between watermarks. The protocol wants
	// at most 500 ms. Default 250 ms.
	WatermarkInterval time.Duration

	// Logger hears of notices that were not published. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// ErrNotAnnounced is wrapped by the error of [Publisher.Change] if the change
// stands and its notice could not be published.
var ErrNotAnnounced = errors.New("resn: the change stands, its notice was not published")

// Publisher announces changes of one topic straight to the bus, for owners
// whose state is not in a database that an outbox fits into.
//
// It is weaker than an outbox. If the process dies between a change and its
// notice, the notice is lost. Caches stay coherent all the same: the
// watermarks end, and the next process begins a new epoch, upon which readers
// revalidate. Durable consumers, which live by notices, miss the change.
// There may be one Publisher for a topic at a time.
//
// It is safe for concurrent use.
type Publisher struct {
	bus   *bus.Bus
	topic string
	opts  PublisherOptions

	hrefs [64]sync.Mutex // changes of one resource run one after another
	seed  maphash.Seed

	mu      sync.Mutex // numbers and publishes, so that both have one order
	epoch   string
	seq     uint64
	pending map[*time.Time]struct{} // when changes under way began

	stop context.CancelFunc
	done chan struct{}
}

// NewPublisher returns a Publisher for a topic and begins a new epoch. End it
// with [Publisher.Close].
func NewPublisher(b *bus.Bus, topic string, opts *PublisherOptions) (*Publisher, error) {
	if err := validTopic(topic); err != nil {
		return nil, err
	}
	p := &Publisher{
		bus: b, topic: topic, seed: maphash.MakeSeed(), epoch: rand.Text(),
		pending: map[*time.Time]struct{}{}, done: make(chan struct{}),
	}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Source == "" {
		p.opts.Source = "/" + topic
	}
	if p.opts.WatermarkInterval <= 0 {
		p.opts.WatermarkInterval = DefaultWatermarkInterval
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.run(ctx)
	return p, nil
}

// Change runs commit, which makes one change to the resource at href, and then
// announces it. Commit returns the kind of change and the ETag that the
// resource has now, which may be empty. Nothing is announced if commit fails.
// While it runs no watermark passes the time at which it began, so it should
// not wait for people.
func (p *Publisher) Change(ctx context.Context, href string, commit func(context.Context) (kind, etag string, err error)) error {
	e := Event{Topic: p.topic, Type: Update, Href: href}
	if err := e.Validate(); err != nil {
		return err
	}
	lock := &p.hrefs[maphash.String(p.seed, href)%uint64(len(p.hrefs))]
	lock.Lock()
	defer lock.Unlock()

	began := p.begin()
	defer p.end(began)
	var err error
	if e.Type, e.ETag, err = commit(ctx); err != nil {
		return err
	}
	e.Time = time.Now()
	if err := e.Validate(); err != nil {
		// Too late to refuse the change: announce what is sure.
		p.opts.Logger.Error("commit returned what can't be announced", "error", err)
		e.Type, e.ETag = Update, ""
	}
	if err := p.announce(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAnnounced, err)
	}
	return nil
}

func (p *Publisher) begin() *time.Time {
	now := time.Now()
	p.mu.Lock()
	p.pending[&now] = struct{}{}
	p.mu.Unlock()
	return &now
}

func (p *Publisher) end(began *time.Time) {
	p.mu.Lock()
	delete(p.pending, began)
	p.mu.Unlock()
}

func (p *Publisher) announce(ctx context.Context, e Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	e.Seq, e.Epoch = p.seq, p.epoch
	err := p.bus.Publish(ctx, p.topic, e.CloudEvent(p.opts.Source))
	if err != nil {
		// Whether the bus has it is unknown. A new epoch tells every reader
		// to revalidate.
		p.epoch, p.seq = rand.Text(), 0
	}
	return err
}

// run writes watermarks until it is stopped.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	tick := time.NewTicker(p.opts.WatermarkInterval)
	defer tick.Stop()
	for {
		if err := p.mark(ctx); err != nil && ctx.Err() == nil {
			p.opts.Logger.Warn("watermark not published", "topic", p.topic, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Publisher) mark(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now()
	for began := range p.pending {
		if began.Before(at) {
			at = *began
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*p.opts.WatermarkInterval)
	defer cancel()
	w := Watermark{Topic: p.topic, Epoch: p.epoch, Seq: p.seq, Time: at}
	return p.bus.Publish(ctx, p.topic, w.CloudEvent(p.opts.Source))
}

// Close stops writing watermarks: within the lease readers fall back to
// ordinary HTTP freshness. The bus stays open. Close may be called twice.
func (p *Publisher) Close(ctx context.Context) error {
	p.stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
