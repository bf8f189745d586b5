package system

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/cache/otelcache"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/otelresn"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

// measure makes the telemetry of a service: its own, as in a process of its own.
// Strangers call the door, and nobody else.
func (s *System) measure(name string) error {
	o := &otelservice.Options{Public: name == "door"}
	if s.opts.Traces != nil {
		o.TracerProvider = s.opts.Traces(name)
	}
	t, err := otelservice.New(o)
	s.telemetry[name] = t
	return err
}

// measureClient shows a client's cache, and how stale its answers can be.
func (s *System) measureClient(svc *service.Service, client *resn.Client) error {
	metrics := s.telemetry[svc.Name()].MeterProvider()
	_, cached := otelcache.Observe(client.Cache(), metrics, nil)
	_, current := otelresn.Observe(client, metrics, nil)
	return errors.Join(cached, current)
}

// measureRelays shows what waits in outboxes, as their relays know it.
func (s *System) measureRelays(svc *service.Service, stats func() []outbox.RelayStats) error {
	m := s.telemetry[svc.Name()].MeterProvider().Meter("github.com/goswale/swale/reference-services")
	var errs [5]error
	leading, e := m.Int64ObservableGauge("swale.outbox.leading", metric.WithUnit("{relay}"),
		metric.WithDescription("Relays of this process that publish; another process's may do so instead."))
	errs[0] = e
	waiting, e := m.Int64ObservableGauge("swale.outbox.waiting", metric.WithUnit("{notice}"),
		metric.WithDescription("Notices of committed changes that the bus hasn't got yet."))
	errs[1] = e
	lag, e := m.Float64ObservableGauge("swale.outbox.lag", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest notice that waits, 0 if none does."))
	errs[2] = e
	published, e := m.Int64ObservableCounter("swale.outbox.published", metric.WithUnit("{notice}"),
		metric.WithDescription("Notices that the bus has got, repetitions included."))
	errs[3] = e
	failures, e := m.Int64ObservableCounter("swale.outbox.failures", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts to publish that the bus or the database failed."))
	errs[4] = e
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("outbox metrics: %w", err)
	}
	_, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		var lead, done, failed int64
		for _, r := range stats() {
			if r.Leading {
				lead++
			}
			done += int64(r.Published)
			failed += int64(r.Failures)
			for _, t := range r.Topics {
				topic := metric.WithAttributes(attribute.String("topic", t.Topic))
				to.ObserveInt64(waiting, int64(t.Waiting), topic)
				to.ObserveFloat64(lag, t.Lag.Seconds(), topic)
			}
		}
		to.ObserveInt64(leading, lead)
		to.ObserveInt64(published, done)
		to.ObserveInt64(failures, failed)
		return nil
	}, leading, waiting, lag, published, failures)
	return err
}
