package otelservice

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Exposition returns a reader for a meter provider, and the handler that shows
// what it reads, in the formats of Prometheus and OpenMetrics. The process and the
// Go runtime are shown there too.
func Exposition() (sdkmetric.Reader, http.Handler, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(
		exporter.WithRegisterer(registry),
		exporter.WithoutScopeInfo(),  // two labels on each line, and no name here is used twice
		exporter.WithoutTargetInfo(), // swale_service_info says more
	)
	if err != nil {
		return nil, nil, fmt.Errorf("otelservice: the Prometheus exporter: %w", err)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, nil, fmt.Errorf("otelservice: %w", err)
		}
	}
	// What can't be collected is left out: half a page is better than none.
	return reader, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true}), nil
}
