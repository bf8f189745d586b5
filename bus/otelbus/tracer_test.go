package otelbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/otelbus"
)

func TestTrace(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	tracer := otelbus.New(provider)
	b := membus.New(&membus.Options{Bus: bus.Options{BeforePublish: tracer.BeforePublish, Middleware: []bus.Middleware{tracer.Middleware}}})
	done := make(chan trace.SpanContext)
	_, err := b.Group(t.Context(), "orders", "g", func(ctx context.Context, d *bus.Delivery) error {
		if d.Attempt == 1 {
			return errors.New("on purpose")
		}
		done <- trace.SpanContextFromContext(ctx)
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := provider.Tracer("test").Start(t.Context(), "request")
	shared := map[string]string{"a": "b"}
	if err := b.Publish(ctx, "orders", bus.Event{ID: "1", Type: "t", Extensions: shared}); err != nil {
		t.Fatal(err)
	}
	if len(shared) != 1 {
		t.Error("the caller's extensions must not be changed")
	}
	seen := <-done
	span.End()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen.TraceID() != span.SpanContext().TraceID() || seen.SpanID() == span.SpanContext().SpanID() {
		t.Error("a handler runs in a span of the publisher's trace")
	}
	var attempts, failed int
	for _, s := range recorder.Ended() {
		if s.Name() != "process orders" {
			continue
		}
		attempts++
		if s.Parent().SpanID() != span.SpanContext().SpanID() {
			t.Error("the parent of a handler's span is the publisher's span")
		}
		if s.Status().Description == "on purpose" {
			failed++
		}
	}
	if attempts != 2 || failed != 1 {
		t.Errorf("each attempt is a span, a failed one says so: %d spans, %d failed", attempts, failed)
	}
}

func TestRecordedContextStays(t *testing.T) {
	tracer := otelbus.New(nil)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	e := bus.Event{Extensions: map[string]string{"traceparent": parent}}
	provider := sdktrace.NewTracerProvider()
	ctx, span := provider.Tracer("test").Start(t.Context(), "relay")
	defer span.End()
	tracer.BeforePublish(ctx, "orders", &e)
	if e.Extensions["traceparent"] != parent {
		t.Error("an event that has a trace context keeps it")
	}
	if got := trace.SpanContextFromContext(tracer.Context(t.Context(), &e)).TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("Context reads the event's trace context, got %s", got)
	}
}
