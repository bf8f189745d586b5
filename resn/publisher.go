package resn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"
	"sync/atomic"
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

	// Origins are those whose resources are announced, such as
	// "https://api.example". A change of any other is refused. Default: any,
	// which is enough where hrefs are made of configuration. Name them where an
	// href is made of a request: a client that sends a Host header of its own would
	// have that address announced, and nobody told of the true one.
	Origins []string

	// Lease is where the Publisher takes the topic, so that there is one at a time.
	// Default a [BusLease] on its bus.
	Lease Lease

	// Claim configures how. The default Owner names Source, host and process. A
	// Publisher always waits for its topic; Wait says that this is meant, as of a
	// replica that stands by, and that another has it is no error in the log then.
	// Default as in [Own].
	Claim *OwnershipOptions

	// Ownership is a right that the program took itself, with [Own]. It isn't taken
	// again when it is lost. Default none: the Publisher takes the topic.
	Ownership *Ownership

	// Unowned goes without: that there is one Publisher is the program's business.
	// Readers vouch for what two of them announce without knowing of each other's
	// changes.
	Unowned bool

	// WatermarkInterval is the time between watermarks. The protocol wants
	// at most 500 ms. Default 250 ms.
	WatermarkInterval time.Duration

	// AnnounceTimeout bounds how long a notice may take to be safe on the
	// bus once its change is made, whatever becomes of the caller's context.
	// After it the change is not announced, and every reader revalidates.
	// Default 5 s.
	AnnounceTimeout time.Duration

	// Logger hears of notices that were not published. Default: nothing is
	// logged.
	Logger *slog.Logger

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time

	without sabotage
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
//
// There may be one Publisher for a topic at a time. It takes the topic when it is
// made, which lasts a little longer than [DefaultOwnershipTTL]: until then changes
// wait and readers live by ordinary freshness. While another has it changes are
// refused with an [*OwnedError]; when that one is gone or silent this one takes
// over, in a new epoch. One that is cut off from the bus makes no more changes
// before another may. What ownership can't see to: a commit that goes on although
// its context ended, in a process that was suspended meanwhile, is a change that
// the new owner knows nothing of.
//
// It is safe for concurrent use.
type Publisher struct {
	bus    *bus.Bus
	topic  string
	opts   PublisherOptions
	tenure *tenure // nil if it doesn't take the topic itself

	hrefs [64]turn // changes of one resource run one after another

	publishing turn // numbers and publishes, so that both have one order
	epoch      string
	seq        uint64
	missed     atomic.Bool // a notice was given up before it had its number

	mu      sync.Mutex
	pending map[*time.Time]struct{} // when changes under way began

	stop context.CancelFunc
	done chan struct{}
}

// turn is held by one goroutine at a time. Unlike a mutex it can be waited for
// until a context ends.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// NewPublisher returns a Publisher for a topic and begins a new epoch. End it
// with [Publisher.Close].
func NewPublisher(b *bus.Bus, topic string, opts *PublisherOptions) (*Publisher, error) {
	if err := validTopic(topic); err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("resn: publisher of topic %q: there is no bus", topic)
	}
	p := &Publisher{
		bus: b, topic: topic, epoch: rand.Text(),
		publishing: make(turn, 1), pending: map[*time.Time]struct{}{}, done: make(chan struct{}),
	}
	for i := range p.hrefs {
		p.hrefs[i] = make(turn, 1)
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
	if p.opts.AnnounceTimeout <= 0 {
		p.opts.AnnounceTimeout = 5 * time.Second
	}
	if p.opts.Clock == nil {
		p.opts.Clock = time.Now
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if p.opts.Ownership == nil && !p.opts.Unowned {
		p.tenure = newTenure(b, topic, &p.opts)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.run(ctx)
	return p, nil
}

// Change runs commit, which makes one change to the resource at href, and then
// announces it. Commit returns the kind of change and the ETag that the
// resource has now, which may be empty. Nothing is announced if commit fails.
// Without the topic there is no change, and the error is an [*OwnedError] or
// wraps [ErrNotOwner].
// While it runs no watermark passes the time at which it began, so it should
// not wait for people.
func (p *Publisher) Change(ctx context.Context, href string, commit func(context.Context) (kind, etag string, err error)) error {
	e := Event{Topic: p.topic, Type: Update, Href: href}
	owner := Announcer{Topic: p.topic, Origins: p.opts.Origins}
	if err := owner.check(&e); err != nil {
		return err
	}
	resource := p.hrefs[crc32.ChecksumIEEE([]byte(href))%uint32(len(p.hrefs))]
	if err := resource.take(ctx); err != nil {
		return fmt.Errorf("resn: change %s: another change of it is under way: %w", clip(href), err)
	}
	defer resource.give()
	committing, cancel, err := p.owned(ctx)
	if err != nil {
		return err
	}
	defer cancel()

	began := p.begin()
	defer p.end(began)
	if e.Type, e.ETag, err = commit(committing); err != nil {
		return err
	}
	e.Time = p.opts.Clock()
	if err := owner.check(&e); err != nil {
		// Too late to refuse the change: announce what is sure.
		p.opts.Logger.Error("commit returned what can't be announced", "error", err)
		e.Type, e.ETag = Update, ""
	}
	if err := p.announce(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAnnounced, err)
	}
	return nil
}

// Ready waits until the topic is ours: a change won't wait, and readers hear that
// nothing is missing. Where that is refused, or can't be found out, it says why;
// the Publisher goes on trying.
func (p *Publisher) Ready(ctx context.Context) error {
	_, err := p.right(ctx)
	return err
}

// right waits for the right to publish the topic, nil for one that goes without.
func (p *Publisher) right(ctx context.Context) (*Ownership, error) {
	if p.tenure != nil {
		return p.tenure.wait(ctx)
	}
	if o := p.opts.Ownership; o != nil {
		return o, o.err()
	}
	return nil, nil //nolint:nilnil // unowned, and that is no error
}

// owned returns a context for a commit, which ends when the topic isn't ours any
// more.
func (p *Publisher) owned(ctx context.Context) (context.Context, context.CancelFunc, error) {
	o, err := p.right(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o == nil || p.opts.without.bound {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(o.Context(), func() { cancel(context.Cause(o.Context())) })
	return ctx, func() { stop(); cancel(nil) }, nil
}

func (p *Publisher) begin() *time.Time {
	now := p.opts.Clock()
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

// announce publishes the notice of a change that is made. The caller may have
// lost interest; readers haven't.
func (p *Publisher) announce(ctx context.Context, e Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.opts.AnnounceTimeout)
	defer cancel()
	if err := p.publishing.take(ctx); err != nil {
		p.missed.Store(true)
		return err
	}
	defer p.publishing.give()
	if p.opts.without.restless {
		p.missed.Store(true)
	}
	p.renew()
	p.seq++
	e.Seq, e.Epoch = p.seq, p.epoch
	err := p.bus.Publish(ctx, p.topic, e.CloudEvent(p.opts.Source))
	if err != nil {
		// Whether the bus has it is unknown.
		p.missed.Store(true)
	}
	return err
}

// renew begins a new epoch if a notice was given up: it tells every reader to
// revalidate. The caller has the turn.
func (p *Publisher) renew() {
	if p.missed.Swap(false) {
		p.epoch, p.seq = rand.Text(), 0
	}
}

// run takes the topic, and writes watermarks while it is ours, until it is
// stopped.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	var work sync.WaitGroup
	defer work.Wait()
	if p.tenure != nil {
		// What happened since it was lost is not in our numbers.
		work.Go(func() {
			p.tenure.keep(ctx, func() {
				if !p.opts.without.regained {
					p.missed.Store(true)
				}
			})
		})
	}
	tick := time.NewTicker(p.opts.WatermarkInterval)
	defer tick.Stop()
	for {
		turned := p.tenure.turns()
		if err := p.mark(ctx); err != nil && ctx.Err() == nil {
			p.opts.Logger.Warn("watermark not published", "topic", p.topic, "error", err)
		}
		select {
		case <-tick.C:
		case <-turned:
			select { // one watermark is enough for both
			case <-tick.C:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

// mine reports whether the topic is ours right now.
func (p *Publisher) mine() bool {
	if p.tenure != nil {
		return p.tenure.holds()
	}
	return p.opts.Ownership == nil || p.opts.Ownership.err() == nil
}

func (p *Publisher) mark(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*p.opts.WatermarkInterval)
	defer cancel()
	if err := p.publishing.take(ctx); err != nil {
		return err
	}
	defer p.publishing.give()
	at := p.complete()
	// After the time: of what is later than our tenure we know nothing.
	if !p.mine() && !p.opts.without.deposed {
		return nil // whoever has it says so, in the log and to who would change something
	}
	p.renew() // after that: what ended without a notice by then has said so
	w := Watermark{Topic: p.topic, Epoch: p.epoch, Seq: p.seq, Time: at}
	return p.bus.Publish(ctx, p.topic, w.CloudEvent(p.opts.Source))
}

// complete returns a time before which every change has ended, one way or the
// other.
func (p *Publisher) complete() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.opts.Clock()
	for began := range p.pending {
		if began.Before(at) && !p.opts.without.pending {
			at = *began
		}
	}
	return at
}

// Close gives the topic up and stops writing watermarks: within the lease readers
// fall back to ordinary HTTP freshness. The bus stays open. Close may be called
// twice.
func (p *Publisher) Close(ctx context.Context) error {
	p.stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
