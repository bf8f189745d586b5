package rabbitbus

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// The broker has no more deliveries of a stream on their way than streamHeld, and
// sends more for acks, each of which is for streamAcked of them.
const (
	streamHeld  = 1024
	streamAcked = 256
)

// tail is a feed that follows a stream. It knows the place of what came last, and
// asks for that again after a loss of the connection: if it comes, nothing was
// missed. If something else comes the stream has dropped it, or was made anew.
type tail struct {
	stream  *stream
	from    string // where to begin: next, or how far back
	message func(driver.Message, *amqp.Delivery)
	marked  func(amqp.Table)
	resume  func(whole bool)
	lose    func(error)

	last     int64         // place of what came last; -1 before anything did
	seen     uint64        // what that was
	seed     maphash.Seed  // of seen
	attached int           // how often
	fresh    bool          // is attached, and nothing came yet
	heard    chan struct{} // closed then
	silent   atomic.Bool   // nothing came although something should
	probing  bool          // only looks how far the stream is
	mark     string        // that was published when it was attached
	acked    int           // deliveries since the last ack

	ctx context.Context //nolint:containedctx // until end
	end context.CancelFunc
	wg  sync.WaitGroup // marks under way
}

// next begins behind what is there.
const next = "next"

// newTail returns a tail that begins at from. Its functions are to be set.
func newTail(s *stream, from string) *tail {
	t := &tail{stream: s, from: from, last: -1, seed: maphash.MakeSeed()}
	t.ctx, t.end = context.WithCancel(context.Background())
	return t
}

func (t *tail) attach(ctx context.Context) (channel, <-chan amqp.Delivery, error) {
	there, err := t.stream.declare(ctx) // somebody may have deleted it
	if err != nil {
		return nil, nil, err
	}
	if !there {
		t.last = -1
	}
	t.probing = t.silent.Swap(false) && t.last >= 0
	ch, _, err := t.stream.c.in.channel(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := t.consume(ch)
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	t.fresh, t.heard, t.acked = true, make(chan struct{}), 0
	t.attached++
	t.mark = rand.Text()
	heard, mark := t.heard, t.mark
	t.wg.Go(func() { t.sound(ch, heard, mark) })
	return ch, in, nil
}

func (t *tail) consume(ch channel) (<-chan amqp.Delivery, error) {
	args := amqp.Table{"x-stream-offset": t.from}
	switch {
	case t.probing:
		args["x-stream-offset"] = "last"
	case t.last >= 0:
		args["x-stream-offset"] = t.last
	}
	if err := ch.Qos(streamHeld, 0, false); err != nil {
		return nil, err
	}
	return ch.Consume(t.stream.queue, tag, false, false, false, false, args)
}

// patience is how long a mark that the broker has may take until it comes.
const patience = 5 * time.Second

// sound publishes a mark, without which a stream to which nobody publishes wouldn't
// tell where it is. If nothing comes then the broker is slow, or the stream was made
// anew and hasn't got so far as the place that was asked for.
func (t *tail) sound(ch channel, heard <-chan struct{}, mark string) {
	if err := t.stream.mark(t.ctx, amqp.Table{headerMark: mark}); err != nil {
		return // the tail ended
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-heard:
	case <-t.ctx.Done():
	case <-timer.C:
		t.silent.Store(true)
		_ = ch.Close() // so that it is attached anew
	}
}

var (
	errAnew   = errors.New("the stream was made anew")
	errProbed = errors.New("the broker took long to say where the stream is")
)

func (t *tail) take(ch channel, d *amqp.Delivery) error {
	place, ok := integer(d.Headers["x-stream-offset"])
	if !ok {
		return errors.New("the broker doesn't say where in the stream a message is")
	}
	if t.fresh {
		t.fresh = false
		close(t.heard)
		if !t.probing {
			if err := t.arrive(place, d); err != nil {
				return err
			}
		}
	}
	if t.probing {
		return t.probe(place, d)
	}
	if t.acked++; t.acked >= streamAcked {
		t.acked = 0
		if err := ch.Ack(d.DeliveryTag, true); err != nil {
			return err
		}
	}
	if place <= t.last {
		return nil
	}
	t.last, t.seen = place, t.look(d)
	if _, ok := d.Headers[headerMark]; ok {
		t.marked(d.Headers)
		return nil
	}
	t.message(received(d.ContentType, d.Headers, d.Body), d)
	return nil
}

func (t *tail) lost(reason error) { t.lose(reason) }

// arrive judges by what comes first after attaching whether anything was missed.
func (t *tail) arrive(place int64, d *amqp.Delivery) error {
	same := place == t.last && t.seen == t.look(d)
	t.resume(t.attached == 1 || same)
	if place > t.last || same {
		return nil
	}
	t.last = -1
	if t.from == next {
		return nil
	}
	return errAnew // and is read as the first one was
}

// probe waits for the mark: it is behind what came last unless the stream was made
// anew.
func (t *tail) probe(place int64, d *amqp.Delivery) error {
	if id, _ := d.Headers[headerMark].(string); id != t.mark {
		return nil
	}
	if place > t.last {
		return errProbed
	}
	t.last = -1
	return errAnew
}

// look makes a number of a message, by which another one at its place is told.
func (t *tail) look(d *amqp.Delivery) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, name := range []string{headerMark, headerKey} {
		text, _ := d.Headers[name].(string)
		_, _ = h.WriteString(text) // never fails
	}
	at, _ := integer(d.Headers[headerTime])
	maphash.WriteComparable(&h, at)
	_, _ = h.Write(d.Body)
	return h.Sum64()
}
