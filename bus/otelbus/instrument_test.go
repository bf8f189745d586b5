package otelbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/otelbus"
)

// counted returns every count by name and attributes.
func counted(t *testing.T, reader sdkmetric.Reader) map[string]uint64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	add := func(name string, set attribute.Set, n uint64) {
		got[name+"{"+set.Encoded(attribute.DefaultEncoder())+"}"] = n
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Unit == "" || m.Description == "" {
				t.Errorf("%s has no unit or no description", m.Name)
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, uint64(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Count)
				}
			}
		}
	}
	return got
}

func TestInstrument(t *testing.T) {
	recorder, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	hooked := 0
	handled := make(chan struct{})
	opts := bus.Options{
		BeforePublish: func(context.Context, string, *bus.Event) { hooked++ },
		OnInvalid:     func(string, []byte, error) { hooked++ },
		Middleware: []bus.Middleware{func(next bus.Handler) bus.Handler {
			return func(ctx context.Context, d *bus.Delivery) error {
				hooked++
				return next(ctx, d)
			}
		}},
	}
	err := otelbus.Instrument(&opts, &otelbus.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := membus.New(&membus.Options{Bus: opts})
	_, err = b.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		if d.Attempt == 1 {
			return errors.New("on purpose")
		}
		close(handled)
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), "orders", bus.Event{ID: "1", Type: "t"}); err != nil {
		t.Fatal(err)
	}
	<-handled
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts.OnInvalid("orders", nil, errors.New("no event"))
	got := counted(t, reader)
	for name, want := range map[string]uint64{
		"swale.bus.published{topic=orders}":                                1,
		"swale.bus.invalid{topic=orders}":                                  1,
		"swale.bus.process.duration{group=g,outcome=handled,topic=orders}": 1,
		"swale.bus.process.duration{group=g,outcome=failed,topic=orders}":  1,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d, of %v", name, got[name], want, got)
		}
	}
	if hooked != 4 {
		t.Errorf("what the options had was called %d times, want 4", hooked)
	}
	if n := len(recorder.Ended()); n != 2 {
		t.Errorf("%d spans, want one for each attempt", n)
	}
}

func TestInstrumentWithoutProviders(t *testing.T) {
	var opts bus.Options
	if err := otelbus.Instrument(&opts, nil); err != nil {
		t.Fatal(err)
	}
	ctx, span := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "request")
	defer span.End()
	var e bus.Event
	opts.BeforePublish(ctx, "orders", &e)
	if e.Extensions["traceparent"] == "" {
		t.Error("the trace context is passed on")
	}
}
