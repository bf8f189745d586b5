// Package otelbus traces and counts what a bus does with OpenTelemetry. The trace context travels in
// the extensions "traceparent" and "tracestate" of CloudEvents' distributed
// tracing extension, so that anybody can read it.
//
//	opts := membus.Options{}
//	err := otelbus.Instrument(&opts.Bus, &otelbus.Options{
//		TracerProvider: otel.GetTracerProvider(), MeterProvider: otel.GetMeterProvider(),
//	})
//	if err != nil {
//		return err
//	}
//	b := membus.New(&opts)
//
// # What is traced
//
// Each attempt of a group's handler is a span of kind consumer, whose parent is the
// span in which the event was published. Publishing adds no span of its own: it
// passes on the caller's. Broadcast handlers and servers have no context from the
// bus; [Tracer.Context] gives them the event's.
//
// # What is counted
//
// Attributes in parentheses.
//
//	swale.bus.published          events given to Publish (topic)
//	swale.bus.process.duration   time of each attempt of a group's handler (topic, group, outcome: handled, failed)
//	swale.bus.invalid            received messages that were no valid events (topic)
package otelbus
