package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// worker delivers to one subscriber. The subscriber has a durable group on each
// of its topics; their handlers hand events over as parcels and wait for the
// outcome, so that the bus keeps the queue, the order per resource, and the
// event until it is acknowledged. One goroutine gathers parcels and makes
// requests, one at a time.
type worker struct {
	g   *Gateway
	id  string
	log *slog.Logger

	in   chan *parcel
	wake chan struct{} // something changed: look again
	stop chan struct{}
	done chan struct{}
	once sync.Once

	// life is the context of requests. It ends with the subscription.
	life context.Context //nolint:containedctx // the worker's own
	kill context.CancelFunc

	changing sync.Mutex // held while groups are joined and left
	groups   map[string]*joined

	mu       sync.Mutex
	sub      Subscription
	held     int       // parcels gathered and not settled
	oldest   time.Time // when the oldest of them happened
	failures int
	until    time.Time
	last     error
	forgive  bool           // a change may have cured what failed
	refusals map[string]int // how often an event was refused on its own, by parcel.key
}

// joined is the membership of a group.
type joined struct {
	sub  *bus.Subscription
	left chan struct{} // closed when the topic is left: its parcels are void
}

// parcel is one event on its way.
type parcel struct {
	topic string
	event bus.Event
	entry entry         // what the event says
	due   time.Time     // when it has waited for others long enough
	alone bool          // was refused before
	done  chan error    // takes the outcome; has room for it
	left  chan struct{} // see joined
}

// key tells events apart.
func (p *parcel) key() string { return p.topic + " " + p.event.Source + " " + p.event.ID }

// void reports whether the parcel's topic was left.
func (p *parcel) void() bool {
	select {
	case <-p.left:
		return true
	default:
		return false
	}
}

// group is the name of the client's durable groups.
func group(subscriber string) string { return "gateway." + subscriber }

func newWorker(g *Gateway, s Subscription) *worker {
	w := &worker{
		g: g, id: s.Subscriber, log: g.log.With("subscriber", s.Subscriber), sub: s, groups: map[string]*joined{},
		in: make(chan *parcel), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	w.life, w.kill = context.WithCancel(context.Background())
	go w.run()
	return w
}

// change brings the worker to what the subscription says: groups are joined and
// left, and if anything changed what failed before is tried again at once.
func (w *worker) change(ctx context.Context, s Subscription) error {
	w.changing.Lock()
	defer w.changing.Unlock()
	w.mu.Lock()
	before := w.sub
	w.sub = s
	changed := !same(before, s)
	w.forgive = w.forgive || changed
	w.mu.Unlock()

	errs := []error{w.leave(ctx, func(topic string) bool { return !slices.Contains(s.Topics, topic) }, true)}
	if before.Max != s.Max {
		// The bounds of a membership are fixed when it begins.
		errs = append(errs, w.leave(ctx, func(string) bool { return true }, false))
	}
	for _, topic := range s.Topics {
		errs = append(errs, w.join(ctx, topic, s.Max))
	}
	if changed {
		w.rouse()
	}
	return errors.Join(errs...)
}

// parallel is how many events of a topic may be held: one batch on its way and
// one that gathers meanwhile.
func parallel(most int) int { return min(2*most, 2000) }

func (w *worker) join(ctx context.Context, topic string, most int) error {
	if w.groups[topic] != nil {
		return nil
	}
	j := &joined{left: make(chan struct{})}
	sub, err := w.g.bus.Group(ctx, topic, group(w.id), func(ctx context.Context, d *bus.Delivery) error {
		return w.handle(ctx, d, j)
	}, &bus.GroupOptions{
		Parallel: parallel(most), MaxInFlight: parallel(most),
		MaxAttempts: -1, // the worker says when
		Backoff:     w.g.opts.Delivery.Backoff,
	})
	if err != nil {
		return fmt.Errorf("gateway: subscriber %s: %w", w.id, err)
	}
	j.sub = sub
	w.groups[topic] = j
	return nil
}

// leave ends memberships, and deletes the groups' queues if they are over for
// good.
func (w *worker) leave(ctx context.Context, which func(topic string) bool, forGood bool) error {
	var errs []error
	for topic, j := range w.groups {
		if !which(topic) {
			continue
		}
		close(j.left)
		w.rouse()
		delete(w.groups, topic)
		w.mu.Lock()
		maps.DeleteFunc(w.refusals, func(key string, _ int) bool { return strings.HasPrefix(key, topic+" ") })
		w.mu.Unlock()
		errs = append(errs, j.sub.Close(ctx))
		if forGood {
			errs = append(errs, w.g.forget(ctx, topic, w.id))
		}
	}
	return errors.Join(errs...)
}

// forget deletes a client's queue for a topic.
func (g *Gateway) forget(ctx context.Context, topic, subscriber string) error {
	err := g.bus.DeleteGroup(ctx, topic, group(subscriber))
	if errors.Is(err, errors.ErrUnsupported) {
		g.log.Warn("the bus can't delete groups; this one goes on collecting events", "topic", topic, "group", group(subscriber))
		return nil
	}
	return err
}

// end ends the worker. With forGood the request under way is cut off and the
// queues are deleted; without it the request may finish.
func (w *worker) end(ctx context.Context, forGood bool) error {
	if forGood {
		w.kill()
	}
	w.once.Do(func() { close(w.stop) })
	var err error
	select {
	case <-w.done:
	case <-ctx.Done():
		err = ctx.Err()
		w.kill()
		<-w.done
	}
	w.kill()
	w.changing.Lock()
	defer w.changing.Unlock()
	return errors.Join(err, w.leave(context.WithoutCancel(ctx), func(string) bool { return true }, forGood))
}

// rouse has the worker look at what changed.
func (w *worker) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

var errLeft = errors.New("the topic is being left")

// handle hands one event over and waits for what becomes of it.
func (w *worker) handle(ctx context.Context, d *bus.Delivery, j *joined) error {
	e, wanted := w.g.read(d.Topic, &d.Event, w.subscription().Types)
	if !wanted {
		if e.Type != "" { // not a watermark
			w.g.stats.skipped.Add(1)
		}
		return nil
	}
	p := &parcel{topic: d.Topic, event: d.Event, entry: e, done: make(chan error, 1), left: j.left}
	p.alone = w.refused(p, 0) > 0
	select {
	case w.in <- p:
	case <-j.left:
		return errLeft
	case <-w.stop:
		return errLeft
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.done:
		return w.judge(p, err)
	case <-j.left:
		return errLeft
	case <-ctx.Done():
		return ctx.Err()
	}
}

// judge makes of a refusal another attempt or a dead letter.
func (w *worker) judge(p *parcel, err error) error {
	if _, ok := errors.AsType[*refusedError](err); !ok {
		return err
	}
	o := &w.g.opts.Delivery
	attempt := w.refused(p, 1)
	if o.MaxAttempts > 0 && attempt >= o.MaxAttempts {
		w.accepted(p)
		w.g.stats.dead.Add(1)
		return bus.Reject(fmt.Errorf("refused %d times, the last time: %w", attempt, err))
	}
	return bus.RetryAfter(o.Backoff.Delay(attempt), err)
}

// refused adds to how often a parcel was refused on its own, and returns that.
func (w *worker) refused(p *parcel, more int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if more > 0 && w.refusals == nil {
		w.refusals = map[string]int{}
	}
	n := w.refusals[p.key()] + more
	if more > 0 {
		w.refusals[p.key()] = n
	}
	return n
}

// accepted forgets the refusals of a parcel; w.mu isn't held.
func (w *worker) accepted(p *parcel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refusals) > 0 {
		delete(w.refusals, p.key())
	}
}

// subscription returns a copy of what the subscriber asked for.
func (w *worker) subscription() Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sub
}

func (w *worker) state() SubscriberState {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := SubscriberState{Subscriber: w.id, Failures: w.failures, Until: w.until, Held: w.held, Oldest: w.oldest, Paused: w.sub.Paused}
	if w.last != nil {
		s.LastError = w.last.Error()
	}
	return s
}
