package otelservice

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/goswale/swale/service"
)

// show shows the state of a service until that has ended. It is read when a reader
// collects.
func (t *Telemetry) show(s *service.Service) error {
	m := t.instruments.meter
	var errs [5]error
	ready, e := m.Int64ObservableGauge("swale.service.ready", metric.WithDescription("1 while the service takes requests and all its checks pass."))
	errs[0] = e
	draining, e := m.Int64ObservableGauge("swale.service.draining", metric.WithDescription("1 once the service has begun to end."))
	errs[1] = e
	passing, e := m.Int64ObservableGauge("swale.service.check.passing", metric.WithDescription("1 while the check passes; what is wrong is at /readyz."))
	errs[2] = e
	took, e := m.Float64ObservableGauge("swale.service.check.duration", metric.WithUnit("s"), metric.WithDescription("Time that the check's last answer took."))
	errs[3] = e
	info, e := m.Int64ObservableGauge("swale.service.info", metric.WithDescription("What runs here; the value is always 1."))
	errs[4] = e
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	env := s.Environment()
	who := metric.WithAttributes(
		attribute.String("service", s.Name()), attribute.String("version", s.Version()),
		attribute.String("instance_id", s.Instance()), attribute.String("zone", env.Zone), attribute.String("region", env.Region))
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		to.ObserveInt64(ready, one(s.Ready() == nil))
		to.ObserveInt64(draining, one(s.Draining()))
		to.ObserveInt64(info, 1, who)
		for _, f := range s.Findings() {
			check := metric.WithAttributes(attribute.String("check", f.Name))
			to.ObserveInt64(passing, one(f.Err == nil), check)
			to.ObserveFloat64(took, f.Took.Seconds(), check)
		}
		return nil
	}, ready, draining, passing, took, info)
	if err != nil {
		return err
	}
	s.Defer("telemetry", func(context.Context) error { return registration.Unregister() })
	return nil
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
