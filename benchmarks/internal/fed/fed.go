// Package fed feeds readers with encoded notices from memory: it is the bus
// without a bus, so that what is measured is what a reader does.
package fed

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/resn"
)

// Origin is where the resources are that notices are about.
const Origin = "http://origin.example"

// Reader is a cache and the listener that keeps it coherent.
type Reader struct {
	Cache    *cache.Transport
	Listener *resn.Listener
	bus      *bus.Bus
	sinks    map[string]driver.Sink
}

// New returns a reader that listens to topics and whose cache asks next.
func New(ctx context.Context, next http.RoundTripper, topics ...string) (*Reader, error) {
	r := &Reader{Cache: cache.New(next, nil), sinks: map[string]driver.Sink{}}
	r.bus = bus.New((*feed)(r), nil)
	r.Listener = resn.NewListener(r.bus, r.Cache, nil)
	for _, topic := range topics {
		if err := r.Listener.Listen(ctx, topic); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Feed hands the reader a message as it would come over the bus.
func (r *Reader) Feed(topic string, m driver.Message) { r.sinks[topic].Message(m) }

// Close ends the reader.
func (r *Reader) Close() {
	ctx := context.Background()
	_ = r.Listener.Close(ctx)
	_ = r.bus.Shutdown(ctx)
	_ = r.Cache.Close()
}

// Href is the resource i of a topic.
func Href(topic string, i int) string { return Origin + "/" + topic + "/" + strconv.Itoa(i) }

// Notice encodes a notice.
func Notice(topic string, i int, seq uint64) (driver.Message, error) {
	e := resn.Event{
		Topic: topic, Type: resn.Update, Href: Href(topic, i), Time: time.Now(),
		ETag: `"v` + strconv.FormatUint(seq, 10) + `"`, Seq: seq, Epoch: "e",
	}
	return encode(e.CloudEvent("/" + topic))
}

// Watermark encodes a watermark.
func Watermark(topic string, seq uint64) (driver.Message, error) {
	return encode(resn.Watermark{Topic: topic, Epoch: "e", Seq: seq, Time: time.Now()}.CloudEvent("/" + topic))
}

func encode(e bus.Event) (driver.Message, error) {
	e.ID = e.Extensions["topic"] + e.Extensions["sequence"]
	body, err := e.AppendJSON(nil)
	return driver.Message{ContentType: driver.ContentTypeEvent, Body: body}, err
}

// feed is the reader as its bus's driver.
type feed Reader

func (f *feed) Info() driver.Info { return driver.Info{Name: "fed"} }

func (f *feed) Broadcast(_ context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	f.sinks[topic] = sink
	return subscription{}, nil
}

func (f *feed) Publish(_ context.Context, _ string, msgs []driver.Message, done func(int, error)) {
	for i := range msgs {
		done(i, errors.ErrUnsupported)
	}
}

func (f *feed) CreateGroup(context.Context, string, string) error { return errors.ErrUnsupported }

func (f *feed) Group(context.Context, string, string, driver.GroupOptions, func(driver.Delivery)) (driver.Subscription, error) {
	return nil, errors.ErrUnsupported
}

func (f *feed) Backlog(context.Context, string, string) (int, error) {
	return 0, errors.ErrUnsupported
}

func (f *feed) Close(context.Context) error { return nil }

type subscription struct{}

func (subscription) Stop(context.Context) error   { return nil }
func (subscription) Detach(context.Context) error { return nil }
