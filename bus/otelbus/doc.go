// Package otelbus traces the bus with OpenTelemetry. The trace context travels in
// the extensions "traceparent" and "tracestate" of CloudEvents' distributed
// tracing extension, so that anybody can read it.
//
//	t := otelbus.New(provider)
//	b := membus.New(&membus.Options{Bus: bus.Options{
//		BeforePublish: t.BeforePublish,
//		Middleware:    []bus.Middleware{t.Middleware},
//	}})
//
// # What is traced
//
// Each attempt of a group's handler is a span of kind consumer, linked into the
// trace of whoever published the event. Publishing adds no span of its own: it
// passes on the caller's. Broadcast handlers and servers have no context from the
// bus; [Tracer.Context] gives them the event's.
package otelbus
