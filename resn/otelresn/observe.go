package otelresn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goswale/swale/resn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scopeName names the instrumentation scope.
const scopeName = "github.com/goswale/swale/resn/otelresn"

// Options configures [Observe] and [ObserveConsumer]. The zero value, and nil, are
// useful.
type Options struct {
	// Attributes are put on every measurement, for example to tell several
	// clients of a process apart. Default none.
	Attributes []attribute.KeyValue
}

// Source is what [Observe] observes: a [resn.Client].
type Source interface {
	Topics() []resn.TopicState
	Refreshes() resn.RefreshStats
}

// ConsumerSource is what [ObserveConsumer] observes: a [resn.Consumer].
type ConsumerSource interface {
	State() resn.ConsumerState
}

// Observe registers the metrics of a client with a meter provider. stop ends the
// observation; it may be called twice and concurrently with a collection. Several
// clients may be observed with one provider if their attributes differ.
func Observe(source Source, provider metric.MeterProvider, opts *Options) (stop func() error, err error) {
	b := newBuilder(provider, opts)
	topics := func(yield func(*resn.TopicState, []attribute.KeyValue)) {
		for _, s := range source.Topics() {
			yield(&s, []attribute.KeyValue{attribute.String("topic", s.Topic)})
		}
	}
	gauge(b, "swale.resn.live", "{topic}", "1 while the topic's change notices arrive without a gap, so that cached entries are vouched for by them; else they live by their max-age.", topics, func(s *resn.TopicState) (float64, bool) { return one(s.Live), true })
	gauge(b, "swale.resn.staleness", "s", "An answer from the cache is at most this much behind its owner.", topics, func(s *resn.TopicState) (float64, bool) {
		return s.Staleness.Seconds(), !s.Watermark.IsZero()
	})
	counter(b, "swale.resn.notices", "{notice}", "Change notices applied.", topics, func(s *resn.TopicState) uint64 { return s.Notices })
	counter(b, "swale.resn.duplicates", "{notice}", "Change notices that had been seen before.", topics, func(s *resn.TopicState) uint64 { return s.Duplicates })
	counter(b, "swale.resn.resets", "{reset}", "Times that change notices were missed, or may have been, and entries were validated again.", topics, func(s *resn.TopicState) uint64 { return s.Resets })
	counter(b, "swale.resn.rejected", "{message}", "Messages on the topic that were neither a notice nor a watermark.", topics, func(s *resn.TopicState) uint64 { return s.Rejected })
	counter(b, "swale.resn.refreshes", "{representation}", "Representations fetched as soon as a notice named them, before anybody asked.", func(yield func(*uint64, []attribute.KeyValue)) {
		s := source.Refreshes()
		yield(&s.Fetched, kind("fetched"))
		yield(&s.Failed, kind("failed"))
		yield(&s.Coalesced, kind("coalesced"))
	}, func(n *uint64) uint64 { return *n })
	gauge(b, "swale.resn.refresh.held", "{resource}", "Resources that were fetched for a notice and are kept account of.", func(yield func(*resn.RefreshStats, []attribute.KeyValue)) {
		s := source.Refreshes()
		yield(&s, nil)
	}, func(s *resn.RefreshStats) (float64, bool) { return float64(s.Held), true })
	return b.register()
}

// ObserveConsumer registers the metrics of a consumer with a meter provider, as
// [Observe] does for a client.
func ObserveConsumer(source ConsumerSource, provider metric.MeterProvider, opts *Options) (stop func() error, err error) {
	b := newBuilder(provider, opts)
	state := func(yield func(*resn.ConsumerState, []attribute.KeyValue)) {
		s := source.State()
		yield(&s, []attribute.KeyValue{attribute.String("topic", s.Topic), attribute.String("group", s.Group)})
	}
	gauge(b, "swale.resn.consumer.filling", "{consumer}", "1 while the collection is walked through.", state, func(s *resn.ConsumerState) (float64, bool) { return one(s.Filling), true })
	gauge(b, "swale.resn.consumer.staleness", "s", "Time since every change was handled.", state, func(s *resn.ConsumerState) (float64, bool) {
		return s.Staleness.Seconds(), !s.Current.IsZero()
	})
	gauge(b, "swale.resn.consumer.waiting", "{notice}", "Notices received and not handled.", state, func(s *resn.ConsumerState) (float64, bool) { return float64(s.Waiting), true })
	for _, c := range []struct {
		name, unit, text string
		read             func(*resn.ConsumerState) uint64
	}{
		{"received", "{notice}", "Notices received.", func(s *resn.ConsumerState) uint64 { return s.Received }},
		{"coalesced", "{notice}", "Notices answered by a fetch for a later one.", func(s *resn.ConsumerState) uint64 { return s.Coalesced }},
		{"unconfirmed", "{resource}", "Resources whose owner didn't say what the notice says.", func(s *resn.ConsumerState) uint64 { return s.Unconfirmed }},
		{"failures", "{attempt}", "Attempts that failed.", func(s *resn.ConsumerState) uint64 { return s.Failures }},
		{"rejected", "{notice}", "Notices that became dead letters.", func(s *resn.ConsumerState) uint64 { return s.Rejected }},
		{"resyncs", "{walk}", "Walks beside the first.", func(s *resn.ConsumerState) uint64 { return s.Resyncs }},
		{"missed", "{time}", "Times that missed notices couldn't be made up for.", func(s *resn.ConsumerState) uint64 { return s.Missed }},
	} {
		counter(b, "swale.resn.consumer."+c.name, c.unit, c.text, state, c.read)
	}
	counter(b, "swale.resn.consumer.handled", "{resource}", "Resources handed over.", func(yield func(*uint64, []attribute.KeyValue)) {
		s := source.State()
		who := []attribute.KeyValue{attribute.String("topic", s.Topic), attribute.String("group", s.Group)}
		yield(&s.Handled, append(kind("there"), who...))
		yield(&s.Gone, append(kind("gone"), who...))
	}, func(n *uint64) uint64 { return *n })
	return b.register()
}

func kind(k string) []attribute.KeyValue { return []attribute.KeyValue{attribute.String("kind", k)} }

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// builder collects instruments and how they are observed.
type builder struct {
	meter       metric.Meter
	common      []attribute.KeyValue
	instruments []metric.Observable
	observe     []func(metric.Observer)
	errs        []error
}

func newBuilder(provider metric.MeterProvider, opts *Options) *builder {
	b := &builder{meter: provider.Meter(scopeName)}
	if opts != nil {
		b.common = opts.Attributes
	}
	return b
}

// set returns the attributes of a measurement.
func (b *builder) set(own []attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(slices.Clone(b.common), own...)...))
}

// each yields states with their attributes.
type each[S any] func(yield func(*S, []attribute.KeyValue))

func counter[S any](b *builder, name, unit, text string, states each[S], read func(*S) uint64) {
	c, err := b.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.instruments = append(b.instruments, c)
	b.observe = append(b.observe, func(to metric.Observer) {
		states(func(s *S, own []attribute.KeyValue) { to.ObserveInt64(c, int64(read(s)), b.set(own)) })
	})
}

func gauge[S any](b *builder, name, unit, text string, states each[S], read func(*S) (v float64, known bool)) {
	g, err := b.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.instruments = append(b.instruments, g)
	b.observe = append(b.observe, func(to metric.Observer) {
		states(func(s *S, own []attribute.KeyValue) {
			if v, known := read(s); known {
				to.ObserveFloat64(g, v, b.set(own))
			}
		})
	})
}

func (b *builder) register() (stop func() error, err error) {
	if err := errors.Join(b.errs...); err != nil {
		return nil, fmt.Errorf("otelresn: %w", err)
	}
	registration, err := b.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for _, observe := range b.observe {
			observe(to)
		}
		return nil
	}, b.instruments...)
	if err != nil {
		return nil, fmt.Errorf("otelresn: %w", err)
	}
	return registration.Unregister, nil
}
