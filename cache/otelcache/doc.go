// Package otelcache shows what Swale's HTTP cache does as OpenTelemetry metrics.
//
//	transport := cache.New(nil, nil)
//	stop, err := otelcache.Observe(transport, otel.GetMeterProvider(), nil)
//	if err != nil {
//		return err
//	}
//	defer stop()
//
// # Cost
//
// The metrics are observed when a reader collects, from
// [cache.Transport.Stats]; a hit pays nothing for them.
//
// # Instruments
//
// Attributes in parentheses; all counters are cumulative from when the
// Transport was made.
//
//	swale.cache.hits           answered without asking (kind: fresh, vouched, stale)
//	swale.cache.hits.typed     of those, answered with a decoded value
//	swale.cache.requests       sent to the origin (kind: miss, validation, bypass)
//	swale.cache.not_modified   validations that were confirmed by a 304
//	swale.cache.collapsed      answered by somebody else's question
//	swale.cache.refreshes      background refreshes
//	swale.cache.stored         responses stored
//	swale.cache.rejected       responses overtaken before they could be stored
//	swale.cache.evictions      entries dropped to stay within the bound
//	swale.cache.invalidations  notices and other invalidations taken in
//	swale.cache.errors         questions that ended in a transport error
//	swale.cache.usage          bytes accounted for
//	swale.cache.entries        stored responses
//	swale.cache.records        generations kept
//
// The share of answers that cost no question is hits and collapsed over hits,
// collapsed and requests.
package otelcache
