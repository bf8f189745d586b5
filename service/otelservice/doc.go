// Package otelservice shows what a service on the chassis does with OpenTelemetry:
// traces of its requests, metrics at the admin port, and log lines that name their
// trace.
//
//	telemetry, err := otelservice.New(nil)
//	if err != nil {
//		return err
//	}
//	service.Main(telemetry.Instrument(service.Options{Name: "restaurants", Setup: setup}))
//
// The parts of a service show what they do by the same providers, see the example:
// otelcache the cache, otelbus the bus, otelresn how stale answers can be.
//
// # Traces
//
// Each request is a span of kind server, named by the method and the pattern of the
// [net/http.ServeMux] that matched, never by the path. Its parent is what the caller
// says in traceparent (W3C Trace Context); what can't be read, or comes twice, is as
// none, and with Options.Public a caller's trace is only linked. Baggage isn't
// taken. [Telemetry.Transport] passes the trace on. Without a provider nothing is
// recorded, and log lines of one request still have one trace_id, in all services.
//
// # Metrics
//
// Attributes in parentheses.
//
//	http.server.request.duration      seconds (http.request.method, http.route, http.response.status_code, url.scheme, error.type)
//	http.server.active_requests       requests under way (http.request.method, url.scheme)
//	swale.service.requests.refused    answered with 429, for their caller had too many under way
//	swale.service.requests.replayed   answered again, by their Idempotency-Key
//	swale.service.ready               1 while it takes requests and all checks pass
//	swale.service.draining            1 once it has begun to end
//	swale.service.check.passing       1 while the check passes (check)
//	swale.service.check.duration      seconds that its last answer took (check)
//	swale.service.info                always 1 (service, version, instance_id, zone, region)
//
// The first two are those of the semantic conventions, as is Transport's
// http.client.request.duration. A stream's duration is the time that it lasted. error.type is the status of an answer
// of 500 and above, panic, or aborted for an answer that was cut off.
//
// # What clients can't do
//
// Nothing that a client makes up becomes a series or a span's name: an unknown
// method is _OTHER, a path that no pattern matches has no route, and neither host
// nor caller is an attribute of a metric.
package otelservice
