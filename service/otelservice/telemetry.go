package otelservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/service"
)

// scopeName names the instrumentation scope.
const scopeName = "github.com/goswale/swale/service/otelservice"

// Options are the options of New. The zero value and nil are useful.
type Options struct {
	// TracerProvider makes the spans. Default: one that records none; requests still
	// have a trace, in their log lines and towards others.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the instruments. Default: one of the Telemetry's own,
	// which the admin port shows at /metrics. [Exposition] is that for another.
	MeterProvider metric.MeterProvider
	// Public is for a service that strangers call: its requests begin traces of
	// their own, and whatever trace a caller claims is noted as a link. Default: a
	// caller's trace goes on, as does its decision on whether to record it.
	Public bool
}

// Telemetry is the traces and metrics of one service. It is safe for concurrent use.
type Telemetry struct {
	traces      trace.TracerProvider
	metrics     metric.MeterProvider
	exposition  http.Handler // nil if the provider isn't ours
	public      bool
	tracer      trace.Tracer
	format      propagation.TraceContext
	instruments *instruments
}

// New returns the telemetry of one service.
func New(opts *Options) (*Telemetry, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	t := &Telemetry{traces: o.TracerProvider, metrics: o.MeterProvider, public: o.Public}
	if t.traces == nil {
		// Others who record the same trace go on to.
		t.traces = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	}
	t.tracer = t.traces.Tracer(scopeName)
	if t.metrics == nil {
		reader, handler, err := Exposition()
		if err != nil {
			return nil, err
		}
		// Nobody asks how long the bodies are that Transport sends, and it is half the page.
		short := sdkmetric.NewView(sdkmetric.Instrument{Name: "http.client.request.body.size"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})
		t.metrics, t.exposition = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithView(short)), handler
	}
	var err error
	if t.instruments, err = newInstruments(t.metrics.Meter(scopeName)); err != nil {
		return nil, fmt.Errorf("otelservice: %w", err)
	}
	return t, nil
}

// MeterProvider is where the parts of the service show what they do.
func (t *Telemetry) MeterProvider() metric.MeterProvider { return t.metrics }

// TracerProvider is where they show their spans.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// Instrument returns options with which a service shows its traces and metrics, in
// addition to what they say already. It is for one service.
func (t *Telemetry) Instrument(o service.Options) service.Options {
	begin, observe, attrs, setup := o.Begin, o.Observe, o.LogAttrs, o.Setup
	o.Begin = func(r *http.Request) context.Context {
		ctx := t.begin(r)
		if begin != nil {
			ctx = begin(r.WithContext(ctx))
		}
		return ctx
	}
	o.Observe = func(ctx context.Context, x service.Exchange) {
		if observe != nil {
			observe(ctx, x)
		}
		t.observe(ctx, x)
	}
	o.LogAttrs = func(ctx context.Context) []slog.Attr {
		own := t.LogAttrs(ctx)
		if attrs != nil {
			own = append(own, attrs(ctx)...)
		}
		return own
	}
	o.Setup = func(ctx context.Context, s *service.Service) error {
		if err := t.show(s); err != nil {
			return fmt.Errorf("otelservice: %w", err)
		}
		if setup != nil {
			return setup(ctx, s)
		}
		if o.Handler == nil {
			return errors.New("otelservice: neither Options.Handler nor Options.Setup is there: nothing would be served")
		}
		return nil
	}
	if o.Metrics == nil {
		o.Metrics = t.exposition
	}
	return o
}

// LogAttrs names the trace and the span that ctx belongs to, if there is one.
func (t *Telemetry) LogAttrs(ctx context.Context) []slog.Attr {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace_id", c.TraceID().String()), slog.String("span_id", c.SpanID().String())}
}

// Transport has requests to others go on with the trace of their context, as spans
// of their own, and measures them. next is [http.DefaultTransport] if it is nil.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(next,
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.metrics), otelhttp.WithPropagators(t.format),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return method(r.Method) }))
}
