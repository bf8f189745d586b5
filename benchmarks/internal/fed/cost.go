package fed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/resn"
)

// Costs are what one of each costs, in processor time, or weighs.
type Costs struct {
	Encode    time.Duration // a notice, at a relay: decoded from its row, numbered, encoded
	Unheld    time.Duration // a notice, at a reader that doesn't hold what it is about
	Held      time.Duration // at one that does
	Watermark time.Duration // at a reader
	Refill    time.Duration // a read after a notice, without the network

	NoticeBytes, WatermarkBytes int // on the bus, without its own framing
	TopicBytes                  int // heap of a topic that is listened to
	LedgerBytes                 int // heap of all that a reader remembers of hrefs that it doesn't hold
}

// rounds is how often each cost is measured; the least counts, because nothing
// makes a thing cheaper than it is.
const rounds = 5

// Measure measures the costs.
func Measure(ctx context.Context) (c Costs, err error) {
	const n = 20_000
	owner := newOwner("items")
	unheld, err := New(ctx, owner, "items")
	if err != nil {
		return c, err
	}
	defer unheld.Close()
	held, err := New(ctx, owner, "items")
	if err != nil {
		return c, err
	}
	defer held.Close()
	const few = 1000
	if err := held.fill(ctx, "items", few); err != nil {
		return c, err
	}
	var seq uint64
	notices := func(hrefs int) (msgs []driver.Message, err error) {
		for range n {
			seq++
			m, err := Notice("items", int(seq)%hrefs, seq)
			if err != nil {
				return nil, err
			}
			msgs = append(msgs, m)
		}
		return msgs, nil
	}
	for range rounds {
		msgs, err := notices(1 << 30)
		if err != nil {
			return c, err
		}
		c.NoticeBytes = len(msgs[0].Body)
		least(&c.Unheld, n, func() error { return unheld.feedAll("items", msgs) }, &err)
		least(&c.Encode, n, func() error { return encodeAll(msgs) }, &err)
		if msgs, err = notices(few); err != nil {
			return c, err
		}
		least(&c.Held, n, func() error { return held.feedAll("items", msgs) }, &err)
		mark, err := Watermark("items", seq)
		if err != nil {
			return c, err
		}
		c.WatermarkBytes = len(mark.Body)
		least(&c.Watermark, n, func() error { return held.feedAll("items", slices.Repeat([]driver.Message{mark}, n)) }, &err)
		least(&c.Refill, few, func() error { return held.fill(ctx, "items", few) }, &err)
		if err != nil {
			return c, err
		}
		held.Cache.InvalidateGroup(Origin, "items")
	}
	return c, c.weigh(ctx, owner)
}

// least keeps the least time that one of n took.
func least(into *time.Duration, n int, f func() error, err *error) {
	if *err != nil {
		return
	}
	runtime.GC()
	began, e := ProcessorTime()
	if e == nil {
		e = f()
	}
	ended, e2 := ProcessorTime()
	if *err = errors.Join(e, e2); *err != nil {
		return
	}
	if took := (ended - began) / time.Duration(n); *into == 0 || took < *into {
		*into = took
	}
}

func (r *Reader) feedAll(topic string, msgs []driver.Message) error {
	for i := range msgs {
		r.Feed(topic, msgs[i])
	}
	return nil
}

// encodeAll does with notices what a relay does with rows.
func encodeAll(msgs []driver.Message) error {
	for i := range msgs {
		var e bus.Event
		if err := e.UnmarshalJSON(msgs[i].Body); err != nil {
			return err
		}
		e.SetExtension("sequence", fmt.Sprintf("%020d", i))
		if _, err := e.AppendJSON(nil); err != nil {
			return err
		}
	}
	return nil
}

// fill reads n resources of a topic through the cache.
func (r *Reader) fill(ctx context.Context, topic string, n int) error {
	for i := range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, Href(topic, i), http.NoBody)
		if err != nil {
			return err
		}
		resp, err := r.Cache.RoundTrip(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
	}
	return nil
}

// weigh measures what is held in memory.
func (c *Costs) weigh(ctx context.Context, next http.RoundTripper) error {
	const many = 200
	topics := make([]string, many)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic-%d", i)
	}
	empty, err := New(ctx, next)
	if err != nil {
		return err
	}
	defer empty.Close()
	before := heap()
	full, err := New(ctx, next, topics...)
	if err != nil {
		return err
	}
	defer full.Close()
	c.TopicBytes = int(heap()-before) / many
	before = heap()
	for i := range 200_000 {
		m, err := Notice(topics[0], i, uint64(i+1))
		if err != nil {
			return err
		}
		full.Feed(topics[0], m)
	}
	c.LedgerBytes = int(heap() - before)
	runtime.KeepAlive(full)
	return nil
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// owner answers every request at once.
type owner struct{ topic, body string }

func newOwner(topic string) *owner { return &owner{topic, strings.Repeat("x", 1024)} }

func (o *owner) header() http.Header {
	return http.Header{
		"Cache-Control": {"max-age=0, " + resn.Directive(o.topic)}, "Content-Type": {"text/plain"},
		"Date": {time.Now().UTC().Format(http.TimeFormat)},
	}
}

func (o *owner) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: o.header(), ContentLength: int64(len(o.body)), Body: io.NopCloser(strings.NewReader(o.body)),
	}, nil
}
