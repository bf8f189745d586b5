package natsbus

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
)

const (
	// minBatch is from how many events on a batch costs the server less than single
	// messages.
	minBatch = 8
	// maxBatches is how many may be under way; a stream takes a thousand of all its
	// publishers together.
	maxBatches = 64
	// answerEvery is how many messages of a batch JetStream answers at once.
	answerEvery = "128"
)

// batches are the Publishes of several events that are under way. A stream that
// takes them (JetStream 2.14) stores each event as a message of its own, as ever,
// but answers that it has everything up to here, instead of each. Where one is
// missing it ends the batch, so that no later event overtakes it.
type batches struct {
	prefix string // of reply subjects, up to the batch's number
	sub    *nats.Subscription
	able   atomic.Bool  // the streams take batches
	later  atomic.Int64 // single messages until then, in Unix nanoseconds
	proved atomic.Bool  // a batch was answered to its end

	mu   sync.Mutex
	byID map[uint64]*batch
	next uint64
	tick uint32
}

// batch is what one Publish sends. The sender alone speaks for those that aren't
// sent.
type batch struct {
	id   uint64
	done func(int, error)
	sent int   // handed to the connection
	safe int   // JetStream says that it has them
	told int   // done was called for them
	err  error // of the others: it is over
	tick uint32
}

func (t *batches) init(c *conn) (err error) {
	t.byID = make(map[uint64]*batch)
	inbox := nats.NewInbox()
	t.prefix = inbox + "." + rand.Text()[:16] // the stream tells batches of all publishers apart by it
	if t.sub, err = c.nc.Subscribe(inbox+".>", t.answered); err == nil {
		_ = t.sub.SetPendingLimits(-1, -1)
	}
	return err
}

// open reports whether a batch of so many may be sent.
func (t *batches) open(n int) bool {
	if n < minBatch || !t.able.Load() {
		return false
	}
	later := t.later.Load()
	return later == 0 || time.Now().UnixNano() >= later
}

// begin returns nil when too many are under way.
func (t *batches) begin(done func(int, error)) *batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) >= maxBatches {
		return nil
	}
	t.next++
	b := &batch{id: t.next, done: done, tick: t.tick}
	t.byID[b.id] = b
	return b
}

// sendBatch sends the messages as a batch. When it returns false nothing was sent.
func (c *conn) sendBatch(ctx context.Context, subject string, msgs []driver.Message, done func(int, error)) bool {
	if c.opts.Deduplicate || !c.batches.open(len(msgs)) || c.room(ctx) != nil {
		return false // what the stream drops as a repeat it doesn't count
	}
	b := c.batches.begin(done)
	if b == nil {
		return false
	}
	var buf []byte
	var err error
	i := 0
	for ; i < len(msgs); i++ {
		if err = c.connected(); err == nil {
			err = c.batches.mark(b, i)
		}
		if err != nil {
			break
		}
		operation := 1 // goes on
		switch i {
		case 0:
			operation = 0
		case len(msgs) - 1:
			operation = 2 // the last
		}
		buf = c.batches.reply(buf[:0], b.id, i+1, operation)
		m := &msgs[i]
		if len(m.Attributes) == 0 {
			err = c.nc.PublishRequest(subject, string(buf), m.Body)
		} else {
			err = c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: string(buf), Data: m.Body, Header: header(m)})
		}
		if err != nil {
			err = sendError(err)
			if i > 0 { // what was sent is all there is
				_ = c.nc.PublishRequest(subject, string(c.batches.reply(nil, b.id, i+1, 3)), nil)
			}
			break
		}
	}
	_ = c.batches.mark(b, i)
	for ; i < len(msgs); i++ {
		done(i, err)
	}
	return true
}

// reply appends the reply subject of a batch's message.
func (t *batches) reply(buf []byte, id uint64, number, operation int) []byte {
	buf = strconv.AppendUint(append(buf, t.prefix...), id, 36)
	buf = append(buf, "."+answerEvery+".fail."...)
	buf = strconv.AppendInt(buf, int64(number), 10)
	buf = strconv.AppendInt(append(buf, '.'), int64(operation), 10)
	return append(buf, ".$FI"...)
}

// mark says that so many are sent, and returns why no more shall be.
func (t *batches) mark(b *batch, sent int) error {
	t.mu.Lock()
	b.sent, b.tick = sent, t.tick
	tell := b.settle()
	err := b.err
	t.mu.Unlock()
	tell.all(b.done)
	return err
}

// answered takes JetStream's answers.
func (t *batches) answered(m *nats.Msg) {
	token, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, t.prefix), ".")
	id, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return
	}
	safe, over, refused, err := judge(m)
	t.mu.Lock()
	b := t.byID[id]
	if b == nil {
		t.mu.Unlock()
		return
	}
	b.tick = t.tick
	if safe > b.safe {
		b.safe = safe
	}
	if over {
		delete(t.byID, id)
		b.err = err
	}
	tell := b.settle()
	t.mu.Unlock()
	if refused {
		t.rest(time.Second)
	} else if over && tell.err == nil {
		t.proved.Store(true)
	}
	tell.all(b.done)
}

// rest has what fails be sent again as single messages, each of which hears its
// own verdict.
func (t *batches) rest(d time.Duration) { t.later.Store(time.Now().Add(d).UnixNano()) }

// errCut is why an event wasn't stored with those before it.
var errCut = errors.New("JetStream ended the batch before this event")

// unknownBatch is JetStream's error code for what follows the end of a batch.
const unknownBatch = 10208

// judge reads an answer: up to which message everything is safe; whether the batch
// is over, and why what isn't safe won't be; and whether it was refused rather
// than cut, by a leader that went, for example. After a cut another batch is tried,
// which alone keeps the order if that is cut too.
func judge(m *nats.Msg) (safe int, over, refused bool, err error) {
	if len(m.Data) == 0 {
		return 0, true, false, driver.Temporary(jetstream.ErrNoStreamResponse)
	}
	if number, ok := bytes.CutPrefix(m.Data, []byte(`{"type":"ack","seq":`)); ok {
		for _, c := range number {
			if c < '0' || c > '9' {
				break
			}
			safe = safe*10 + int(c-'0')
		}
		return safe, false, false, nil
	}
	var answer struct {
		Type   string              `json:"type"`
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
		Count  int                 `json:"count"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return 0, true, true, driver.Temporary(fmt.Errorf("answer to a batch: %w", err))
	case answer.Error != nil:
		return 0, true, answer.Error.ErrorCode != unknownBatch, driver.Temporary(fmt.Errorf("batch: %w", answer.Error))
	case answer.Type != "": // a gap: the end follows, and says where
		return 0, false, false, nil
	case answer.Stream == "":
		return 0, true, true, driver.Temporary(errors.New("answer to a batch without a stream"))
	}
	return answer.Count, true, false, driver.Temporary(errCut)
}

// tells are calls of done to be made: nil up to safe, then err.
type tells struct {
	from, safe, to int
	err            error
}

func (l tells) all(done func(int, error)) {
	for i := l.from; i < l.to; i++ {
		if i < l.safe {
			done(i, nil)
		} else {
			done(i, l.err)
		}
	}
}

// settle says for which messages done is to be called now; the table's mu is held.
func (b *batch) settle() tells {
	l := tells{from: b.told, safe: b.safe, to: min(b.safe, b.sent)}
	if b.err != nil {
		l.to = b.sent
		if l.to > b.safe {
			l.err = b.err
		}
	}
	l.to = max(l.to, l.from)
	b.told = l.to
	return l
}

// expire fails what has waited for that many ticks.
func (t *batches) expire(ticks uint32) {
	t.mu.Lock()
	t.tick++
	t.mu.Unlock()
	if t.end(driver.Temporary(errUnconfirmed), func(b *batch) bool { return t.tick-b.tick >= ticks }) && !t.proved.Load() {
		t.rest(time.Minute) // somebody in between may not let the answers through
	}
}

// fail fails everything.
func (t *batches) fail(err error) { t.end(err, func(*batch) bool { return true }) }

// end fails the batches that the function names, and reports whether there are.
func (t *batches) end(err error, which func(*batch) bool) bool {
	type told struct {
		tells
		done func(int, error)
	}
	var all []told
	t.mu.Lock()
	for id, b := range t.byID {
		if which(b) {
			delete(t.byID, id)
			b.err = err
			all = append(all, told{b.settle(), b.done})
		}
	}
	t.mu.Unlock()
	for _, l := range all {
		l.all(l.done)
	}
	return len(all) > 0
}
