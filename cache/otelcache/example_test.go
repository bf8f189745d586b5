package otelcache_test

import (
	"context"
	"fmt"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/cache/otelcache"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func ExampleObserve() {
	reader := sdk.NewManualReader() // or an exporter's
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))

	transport := cache.New(nil, nil)
	stop, err := otelcache.Observe(transport, provider, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = stop() }()

	transport.Invalidate("https://api.example/restaurants/203")
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "swale.cache.invalidations" {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output: swale.cache.invalidations 1
}
