package natsbus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// errCore is what a bus with Options.Core answers to those who ask for groups.
var errCore = fmt.Errorf("with Options.Core nothing is kept that a group could get: %w", errors.ErrUnsupported)

// coreSubject is the subject of a topic whose events JetStream doesn't keep.
func (c *conn) coreSubject(topic string) string { return c.opts.Prefix + ".l." + topic }

// outlets number the events of each topic. The number travels, behind a name of
// this connection, as the reply subject, which costs neither a header nor room in
// the server's table of subjects.
type outlets struct {
	prefix string // the connection's name and a dot

	mu      sync.Mutex
	byTopic map[string]*outlet
}

type outlet struct {
	subject string

	mu  sync.Mutex
	n   uint64 // events that left
	buf []byte
}

func (o *outlets) init() {
	o.prefix = rand.Text()[:16] + "."
	o.byTopic = make(map[string]*outlet)
}

// of returns the topic's outlet.
func (o *outlets) of(c *conn, topic string) *outlet {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.byTopic[topic]
	if l == nil {
		l = &outlet{subject: c.coreSubject(topic)}
		o.byTopic[topic] = l
	}
	return l
}

// let lets messages go. A number is given to those alone that the connection
// took, in the order in which it took them.
func (c *conn) let(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	full := c.room(ctx)
	l := c.outlets.of(c, topic)
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := min(maxTogether, int(c.nc.MaxPayload()))
	for i := 0; i < len(msgs); {
		n := together(msgs[i:], limit)
		err := full
		if err == nil {
			err = c.connected()
		}
		if err == nil {
			err = c.letSome(l, msgs[i:i+n])
		}
		for ; n > 0; n-- {
			done(i, err)
			i++
		}
	}
}

// maxTogether bounds a batch: enough that what a message costs NATS is shared out,
// and little to lose at once.
const maxTogether = 16 << 10

// together is how many of the messages go as one, at least the first.
func together(msgs []driver.Message, limit int) int {
	size := 0
	for i := range msgs {
		m := &msgs[i]
		size += len(m.Body) + 1
		if size >= limit || len(m.Attributes) > 0 || m.ContentType != driver.ContentTypeEvent {
			return max(i, 1)
		}
	}
	return len(msgs)
}

// letSome sends a message, or several as a batch; l.mu is held.
func (c *conn) letSome(l *outlet, msgs []driver.Message) error {
	l.buf = strconv.AppendUint(append(l.buf[:0], c.outlets.prefix...), l.n+1, 10)
	reply := string(l.buf)
	m := &msgs[0]
	var err error
	switch {
	case len(msgs) > 1:
		l.buf = append(l.buf[:0], '[')
		for i := range msgs {
			l.buf = append(append(l.buf, msgs[i].Body...), ',')
		}
		l.buf[len(l.buf)-1] = ']'
		err = c.nc.PublishRequest(l.subject, reply, l.buf)
	case len(m.Attributes) == 0:
		err = c.nc.PublishRequest(l.subject, reply, m.Body)
	default:
		err = c.nc.PublishMsg(&nats.Msg{Subject: l.subject, Reply: reply, Data: m.Body, Header: header(m)})
	}
	if err != nil {
		return sendError(err)
	}
	l.n++
	return nil
}

// maxPublishers is how many publishers of a topic are remembered.
const maxPublishers = 10_000

// maxLate is how many messages may come behind their place without a word, after
// the hole that they left was told. Who forged a number would silence its owner.
const maxLate = 16

// numbers are the last ones heard of each publisher of a topic.
type numbers struct {
	last      map[string]*heard
	publisher string // the latest, and what was heard of it
	at        *heard
}

// heard is what is known of a publisher.
type heard struct {
	number uint64 // of its last message
	late   uint64 // how many more may come late
}

// verdict is what a number says about what came before.
type verdict int

const (
	following verdict = iota // nothing is missing that could be known of
	gap                      // something is
	late                     // its place has been passed, and that something is missing there was told
	stale                    // its place has been passed, or somebody else has used its number
)

// next judges the number of a message. Of a publisher that is heard for the first
// time anything may have been missed, which isn't a hole: it may as well have
// been published before the subscription began.
func (n *numbers) next(reply string) verdict {
	dot := strings.LastIndexByte(reply, '.')
	if dot < 0 {
		return following // published by somebody else
	}
	number, err := strconv.ParseUint(reply[dot+1:], 10, 64)
	if err != nil {
		return following
	}
	if publisher := reply[:dot]; n.at == nil || publisher != n.publisher {
		n.publisher, n.at = publisher, n.last[publisher]
	}
	switch {
	case n.at == nil:
		n.begin(number)
		return following
	case number == n.at.number+1:
		n.at.number = number
		return following
	case number > n.at.number:
		n.at.late = min(number-n.at.number-1, maxLate)
		n.at.number = number
		return gap
	case n.at.late > 0:
		n.at.late--
		return late
	}
	delete(n.last, n.publisher)
	n.at = nil
	return stale
}

func (n *numbers) begin(number uint64) {
	if n.last == nil || len(n.last) >= maxPublishers {
		n.last = make(map[string]*heard)
	}
	n.publisher = strings.Clone(n.publisher)
	n.at = &heard{number: number}
	n.last[n.publisher] = n.at
}

// forget has everybody be heard for the first time again.
func (n *numbers) forget() { *n = numbers{} }
