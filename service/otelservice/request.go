package otelservice

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/service"
)

// instruments are those of requests.
type instruments struct {
	meter             metric.Meter
	duration          metric.Float64Histogram
	active            metric.Int64UpDownCounter
	refused, replayed metric.Int64Counter
}

// buckets are those of the semantic conventions, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func newInstruments(m metric.Meter) (*instruments, error) {
	i := &instruments{meter: m}
	var errs [4]error
	i.duration, errs[0] = m.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the header of a request to the end of its answer."), metric.WithExplicitBucketBoundaries(buckets...))
	i.active, errs[1] = m.Int64UpDownCounter("http.server.active_requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are being answered."))
	i.refused, errs[2] = m.Int64Counter("swale.service.requests.refused", metric.WithUnit("{request}"),
		metric.WithDescription("Requests answered with 429 because their caller had as many under way as one may have."))
	i.replayed, errs[3] = m.Int64Counter("swale.service.requests.replayed", metric.WithUnit("{request}"),
		metric.WithDescription("Requests sent again under the same Idempotency-Key, and given the first one's answer."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	i.refused.Add(context.Background(), 0) // shown before the first one, so that it isn't missed
	i.replayed.Add(context.Background(), 0)
	return i, nil
}

// exchange is what is known of a request when it begins, and put on everything.
type exchange struct {
	method, scheme attribute.KeyValue
}

type contextKey struct{}

// begin begins a request's span.
func (t *Telemetry) begin(r *http.Request) context.Context {
	e := exchange{attribute.String("http.request.method", method(r.Method)), attribute.String("url.scheme", "http")}
	if r.TLS != nil {
		e.scheme = attribute.String("url.scheme", "https")
	}
	ctx := context.WithValue(r.Context(), contextKey{}, e)
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(e.method, e.scheme, attribute.String("url.path", r.URL.Path)),
	}
	// What can't be read, and more than one, is no trace (W3C Trace Context, 3.2).
	if len(r.Header.Values("traceparent")) == 1 {
		claimed := t.format.Extract(ctx, propagation.HeaderCarrier(r.Header))
		switch c := trace.SpanContextFromContext(claimed); {
		case !c.IsRemote():
		case t.public:
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: c}))
		default:
			ctx = claimed
		}
	}
	ctx, _ = t.tracer.Start(ctx, e.method.Value.AsString(), opts...)
	t.instruments.active.Add(ctx, 1, metric.WithAttributes(e.method, e.scheme))
	return ctx
}

// observe ends what begin began.
func (t *Telemetry) observe(ctx context.Context, x service.Exchange) {
	e, ok := ctx.Value(contextKey{}).(exchange)
	if !ok {
		return
	}
	i := t.instruments
	i.active.Add(ctx, -1, metric.WithAttributes(e.method, e.scheme))
	if x.Refused {
		i.refused.Add(ctx, 1)
	}
	if x.Replayed {
		i.replayed.Add(ctx, 1)
	}
	attrs := []attribute.KeyValue{attribute.Int("http.response.status_code", x.Status)}
	span := trace.SpanFromContext(ctx)
	if r := route(x.Pattern); r != "" {
		attrs = append(attrs, attribute.String("http.route", r))
		span.SetName(e.method.Value.AsString() + " " + r)
	}
	if kind := failure(x); kind != "" {
		attrs = append(attrs, attribute.String("error.type", kind))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attrs...)
	span.SetAttributes(
		attribute.String("swale.request.id", x.ID), attribute.String("swale.caller", x.Caller),
		attribute.Int64("http.response.body.size", x.Bytes))
	i.duration.Record(ctx, x.Took.Seconds(), metric.WithAttributes(append(attrs, e.method, e.scheme)...))
	span.End()
}

// failure says what went wrong on our side, if anything did.
func failure(x service.Exchange) string {
	switch {
	case x.Panic == http.ErrAbortHandler: //nolint:errorlint // net/http compares it so too
		return "aborted"
	case x.Panic != nil:
		return "panic"
	case x.Status >= http.StatusInternalServerError:
		return strconv.Itoa(x.Status)
	}
	return ""
}

// route is the path of an [http.ServeMux] pattern, without the mark of its end.
func route(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return strings.TrimSuffix(pattern[i:], "{$}")
	}
	return ""
}

// method bounds the methods to those that are known, as the semantic conventions
// have it.
func method(m string) string {
	switch m {
	case "": // a client's short form
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY":
		return m
	}
	return "_OTHER"
}
