package otelbus_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/otelbus"
)

func ExampleTracer_Context() {
	tracer := otelbus.New(nil)
	e := bus.Event{Extensions: map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ctx := tracer.Context(context.Background(), &e)
	fmt.Println(trace.SpanContextFromContext(ctx).TraceID())
	// Output: 0af7651916cd43dd8448eb211c80319c
}
