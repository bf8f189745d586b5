package otelbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/bus"
)

// Options are the options of Instrument. The zero value and nil are useful.
type Options struct {
	// TracerProvider is that of [New]. Default: no spans; the context is passed on.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the instruments. Default: nothing is counted.
	MeterProvider metric.MeterProvider
}

// buckets are those of the semantic conventions for messaging, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Instrument has a bus that is made with o traced and counted, in addition to what
// o says already. Topics and groups become attributes: they are the program's, and
// where they are not, the SDK's limit of attribute sets holds.
func Instrument(o *bus.Options, opts *Options) error {
	if o == nil {
		return errors.New("otelbus: the *bus.Options to instrument are nil: give those that the bus is made with")
	}
	var own Options
	if opts != nil {
		own = *opts
	}
	t := New(own.TracerProvider)
	before := o.BeforePublish
	o.BeforePublish = func(ctx context.Context, topic string, e *bus.Event) {
		if before != nil {
			before(ctx, topic, e)
		}
		t.BeforePublish(ctx, topic, e)
	}
	middleware := []bus.Middleware{t.Middleware}
	if own.MeterProvider != nil {
		count, err := measure(o, own.MeterProvider.Meter(Name))
		if err != nil {
			return fmt.Errorf("otelbus: %w", err)
		}
		middleware = append(middleware, count)
	}
	o.Middleware = append(middleware, o.Middleware...)
	return nil
}

// measure counts what a bus does, and returns what measures handlers.
func measure(o *bus.Options, m metric.Meter) (bus.Middleware, error) {
	var errs [3]error
	published, e := m.Int64Counter("swale.bus.published", metric.WithUnit("{event}"), metric.WithDescription("Events that the process published, or tried to."))
	errs[0] = e
	invalid, e := m.Int64Counter("swale.bus.invalid", metric.WithUnit("{message}"), metric.WithDescription("Received messages that were no valid events."))
	errs[1] = e
	process, e := m.Float64Histogram("swale.bus.process.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(buckets...),
		metric.WithDescription("Time that an attempt of a group's handler took."))
	errs[2] = e
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	before, bad := o.BeforePublish, o.OnInvalid
	o.BeforePublish = func(ctx context.Context, topic string, e *bus.Event) {
		before(ctx, topic, e)
		published.Add(ctx, 1, metric.WithAttributes(attribute.String("topic", topic)))
	}
	o.OnInvalid = func(topic string, body []byte, err error) {
		invalid.Add(context.Background(), 1, metric.WithAttributes(attribute.String("topic", topic)))
		if bad != nil {
			bad(topic, body, err)
		}
	}
	return func(next bus.Handler) bus.Handler {
		return func(ctx context.Context, d *bus.Delivery) error {
			began := time.Now()
			err := next(ctx, d)
			outcome := "handled"
			if err != nil {
				outcome = "failed"
			}
			process.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(
				attribute.String("topic", d.Topic), attribute.String("group", d.Group), attribute.String("outcome", outcome)))
			return err
		}
	}, nil
}
