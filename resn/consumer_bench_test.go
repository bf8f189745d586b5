package resn_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// quickOwner answers from memory, so that what is measured is the consumer.
type quickOwner struct{}

func (quickOwner) RoundTrip(req *http.Request) (*http.Response, error) {
	const body = `{"_links":{"self":{"href":"/"}},"version":1}`
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1", Request: req,
		Header:        http.Header{"Cache-Control": {`max-age=5, resn="restaurants"`}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// BenchmarkConsumer measures from notice to handler, over a bus and an owner in
// memory: one fetch for each notice, or nine notices of ten coalesced.
func BenchmarkConsumer(b *testing.B) {
	for name, distinct := range map[string]int{"each its own resource": 1, "ten of a resource": 10} {
		b.Run(name, func(b *testing.B) {
			bs := membus.New(nil)
			client, err := resn.NewClient(bs, &resn.ClientOptions{Transport: quickOwner{}})
			if err != nil {
				b.Fatal(err)
			}
			consumer, err := resn.NewConsumer(client, cityTopic, "index", func(context.Context, *resn.Change) error { return nil }, nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- consumer.Run(ctx) }()
			<-consumer.Joined()
			b.ReportAllocs()
			b.ResetTimer()
			events := make([]bus.Event, 0, 100)
			for i := 0; i < b.N; i += len(events) {
				events = events[:0]
				for j := i; j < min(i+100, b.N); j++ {
					e := resn.Event{Topic: cityTopic, Type: resn.Update, Href: fmt.Sprintf("%s/restaurants/%d", cityOrigin, j/distinct), Seq: uint64(j + 1), Epoch: "one"}
					events = append(events, e.CloudEvent("/"))
				}
				if err := bs.Publish(ctx, cityTopic, events...); err != nil {
					b.Fatal(err)
				}
			}
			for s := consumer.State(); s.Handled+s.Coalesced < uint64(b.N); s = consumer.State() {
				<-time.After(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(consumer.State().Handled)/float64(b.N), "fetches/op")
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
			_ = client.Close(context.Background())
			_ = bs.Shutdown(context.Background())
		})
	}
}
