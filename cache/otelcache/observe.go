package otelcache

import (
	"context"
	"errors"
	"fmt"

	"github.com/goswale/swale/cache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scopeName names the instrumentation scope.
const scopeName = "github.com/goswale/swale/cache/otelcache"

// Options configures [Observe]. The zero value, and nil, are useful.
type Options struct {
	// Attributes are put on every measurement, for example to tell several
	// caches of a process apart. Default none.
	Attributes []attribute.KeyValue
}

// Source is what is observed: a [cache.Transport].
type Source interface {
	Stats() cache.Stats
}

// Observe registers the metrics of a cache with a meter provider. stop ends
// the observation; it may be called twice and concurrently with a collection.
// Several caches may be observed with one provider if their attributes differ.
func Observe(source Source, provider metric.MeterProvider, opts *Options) (stop func() error, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	b := builder{meter: provider.Meter(scopeName), common: o.Attributes}
	b.counter("swale.cache.hits", "{response}", "Requests answered from the cache without asking the origin: fresh by max-age, vouched for by change notices, or stale on purpose.", func(s *cache.Stats, put put) {
		put(s.Hits-min(s.Vouched+s.Stale, s.Hits), "fresh")
		put(s.Vouched, "vouched")
		put(s.Stale, "stale")
	}, "fresh", "vouched", "stale")
	b.counter("swale.cache.hits.typed", "{response}", "Hits answered with a value that was decoded before, and so without parsing.", func(s *cache.Stats, put put) { put(s.Typed, "") })
	b.counter("swale.cache.requests", "{request}", "Requests sent to the origin: nothing was stored, what was stored had to be validated, or the cache doesn't handle such requests.", func(s *cache.Stats, put put) {
		put(s.Misses, "miss")
		put(s.Validations, "validation")
		put(s.Bypassed, "bypass")
	}, "miss", "validation", "bypass")
	b.counter("swale.cache.not_modified", "{response}", "Validations that the origin confirmed with a 304.", func(s *cache.Stats, put put) { put(s.NotModified, "") })
	b.counter("swale.cache.collapsed", "{response}", "Requests answered by a question that somebody else had under way.", func(s *cache.Stats, put put) { put(s.Collapsed, "") })
	b.counter("swale.cache.refreshes", "{request}", "Requests to the origin in the background, for an entry that was answered with meanwhile.", func(s *cache.Stats, put put) { put(s.Refreshes, "") })
	b.counter("swale.cache.stored", "{response}", "Responses taken into the cache.", func(s *cache.Stats, put put) { put(s.Stored, "") })
	b.counter("swale.cache.rejected", "{response}", "Responses that a notice or a later question overtook before they were stored.", func(s *cache.Stats, put put) { put(s.Rejected, "") })
	b.counter("swale.cache.evictions", "{entry}", "Entries dropped to keep the cache within its bound of memory.", func(s *cache.Stats, put put) { put(s.Evictions, "") })
	b.counter("swale.cache.invalidations", "{notice}", "Change notices and other invalidations taken in.", func(s *cache.Stats, put put) { put(s.Notices, "") })
	b.counter("swale.cache.errors", "{request}", "Requests to the origin that got no answer.", func(s *cache.Stats, put put) { put(s.Errors, "") })
	b.gauge("swale.cache.usage", "By", "Memory that entries take, as the cache's bound counts it.", func(s *cache.Stats) int64 { return s.Bytes })
	b.gauge("swale.cache.entries", "{entry}", "Responses that are stored now.", func(s *cache.Stats) int64 { return int64(s.Entries) })
	b.gauge("swale.cache.records", "{record}", "Resources and groups of which the cache remembers when they last changed.", func(s *cache.Stats) int64 { return int64(s.Records) })
	if err := errors.Join(b.errs...); err != nil {
		return nil, fmt.Errorf("otelcache: %w", err)
	}
	registration, err := b.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		// One snapshot for all, so that they go together.
		stats := source.Stats()
		for _, observe := range b.observe {
			observe(&stats, to)
		}
		return nil
	}, b.instruments...)
	if err != nil {
		return nil, fmt.Errorf("otelcache: %w", err)
	}
	return registration.Unregister, nil
}

// put observes a count, of a kind if the instrument has kinds.
type put func(n uint64, kind string)

// builder collects instruments and how they are observed.
type builder struct {
	meter       metric.Meter
	common      []attribute.KeyValue
	instruments []metric.Observable
	observe     []func(*cache.Stats, metric.Observer)
	errs        []error
}

func (b *builder) counter(name, unit, text string, read func(*cache.Stats, put), kinds ...string) {
	c, err := b.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	// The sets are made once, not at each collection.
	sets := map[string]metric.MeasurementOption{"": metric.WithAttributeSet(attribute.NewSet(b.common...))}
	for _, kind := range kinds {
		all := append(append([]attribute.KeyValue{}, b.common...), attribute.String("kind", kind))
		sets[kind] = metric.WithAttributeSet(attribute.NewSet(all...))
	}
	b.instruments = append(b.instruments, c)
	b.observe = append(b.observe, func(s *cache.Stats, to metric.Observer) {
		read(s, func(n uint64, kind string) { to.ObserveInt64(c, int64(n), sets[kind]) })
	})
}

func (b *builder) gauge(name, unit, text string, read func(*cache.Stats) int64) {
	g, err := b.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	set := metric.WithAttributeSet(attribute.NewSet(b.common...))
	b.instruments = append(b.instruments, g)
	b.observe = append(b.observe, func(s *cache.Stats, to metric.Observer) { to.ObserveInt64(g, read(s), set) })
}
