package otelbus

import (
	"context"
	"maps"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/goswale/swale/bus"
)

// Name is the instrumentation scope of the spans.
const Name = "github.com/goswale/swale/bus/otelbus"

// Tracer passes trace context through events and traces handlers. It is safe for
// concurrent use.
type Tracer struct {
	tracer trace.Tracer
	format propagation.TraceContext
}

// New returns a tracer whose spans go to the provider. nil makes no spans and still
// passes on the context.
func New(provider trace.TracerProvider) *Tracer {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	return &Tracer{tracer: provider.Tracer(Name)}
}

// carrier reads and writes the extensions of an event.
type carrier struct{ e *bus.Event }

func (c carrier) Get(key string) string { return c.e.Extensions[key] }

func (c carrier) Set(key, value string) { c.e.SetExtension(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c.e.Extensions))
	for k := range c.e.Extensions {
		keys = append(keys, k)
	}
	return keys
}

// BeforePublish is for bus.Options.BeforePublish: it writes the caller's trace
// context into the event, unless the event has one, as an event does that was
// recorded earlier and is published now.
func (t *Tracer) BeforePublish(ctx context.Context, _ string, e *bus.Event) {
	if e.Extensions["traceparent"] != "" || !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	// The caller's map isn't ours to change.
	extensions := make(map[string]string, len(e.Extensions)+2)
	maps.Copy(extensions, e.Extensions)
	e.Extensions = extensions
	t.format.Inject(ctx, carrier{e})
}

// Context returns ctx with the event's trace context as the remote parent.
func (t *Tracer) Context(ctx context.Context, e *bus.Event) context.Context {
	return t.format.Extract(ctx, carrier{e})
}

// Middleware is for bus.Options.Middleware: a span for each attempt.
func (t *Tracer) Middleware(next bus.Handler) bus.Handler {
	return func(ctx context.Context, d *bus.Delivery) error {
		ctx, span := t.tracer.Start(t.Context(ctx, &d.Event), "process "+d.Topic,
			trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(
				attribute.String("messaging.system", "swale"),
				attribute.String("messaging.operation.type", "process"),
				attribute.String("messaging.destination.name", d.Topic),
				attribute.String("messaging.consumer.group.name", d.Group),
				attribute.String("messaging.message.id", d.Event.ID),
				attribute.String("cloudevents.event_type", d.Event.Type),
				attribute.String("cloudevents.event_source", d.Event.Source),
				attribute.Int("swale.attempt", d.Attempt),
			))
		defer span.End()
		err := next(ctx, d)
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
		}
		return err
	}
}
