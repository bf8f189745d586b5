// Package otelresn shows how current a process is, and what its clients and
// consumers of notices do, as OpenTelemetry metrics.
//
//	client, err := resn.NewClient(b, nil)
//	…
//	stop, err := otelresn.Observe(client, otel.GetMeterProvider(), nil)
//	if err != nil {
//		return err
//	}
//	defer stop()
//
// [ObserveConsumer] does the same for a [resn.Consumer]. What the cache does is
// shown by package otelcache, given [resn.Client.Cache].
//
// # Cost
//
// The metrics are observed when a reader collects; notices and hits pay nothing
// for them.
//
// # Instruments
//
// Attributes in parentheses; counters are cumulative from when the client or
// consumer was made.
//
//	swale.resn.live             1 while entries of the topic are vouched for (topic)
//	swale.resn.staleness        seconds that bound the age of a vouched answer (topic)
//	swale.resn.notices          notices applied (topic)
//	swale.resn.duplicates       notices that were seen before (topic)
//	swale.resn.resets           times that notices were, or may have been, missed (topic)
//	swale.resn.rejected         messages that were not of the protocol (topic)
//	swale.resn.refreshes        representations fetched at once (kind: fetched, failed, coalesced)
//	swale.resn.refresh.held     resources that a notice has fetched
//
//	swale.resn.consumer.filling     1 while the collection is walked through (topic, group)
//	swale.resn.consumer.staleness   seconds since all changes were handled (topic, group)
//	swale.resn.consumer.waiting     notices received and not handled (topic, group)
//	swale.resn.consumer.received    notices (topic, group)
//	swale.resn.consumer.coalesced   notices answered by a fetch for a later one (topic, group)
//	swale.resn.consumer.handled     resources handed over (topic, group, kind: there, gone)
//	swale.resn.consumer.unconfirmed resources whose owner didn't say what the notice says (topic, group)
//	swale.resn.consumer.failures    attempts that failed (topic, group)
//	swale.resn.consumer.rejected    notices that became dead letters (topic, group)
//	swale.resn.consumer.resyncs     walks beside the first (topic, group)
//	swale.resn.consumer.missed      times that missed notices couldn't be made up for (topic, group)
//
// Staleness is worth an alarm when it exceeds the lease, live when it is 0. A
// topic that never had a watermark has no staleness.
package otelresn
