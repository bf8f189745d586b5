package otelresn_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/otelresn"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// collect returns every value by name and attributes.
func collect(t *testing.T, reader sdk.Reader) map[string]float64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	put := func(name string, set attribute.Set, v float64) {
		if set.Len() > 0 {
			name += "{" + set.Encoded(attribute.DefaultEncoder()) + "}"
		}
		got[name] = v
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Unit == "" || m.Description == "" {
				t.Errorf("%s has no unit or no description", m.Name)
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
				if !data.IsMonotonic {
					t.Errorf("%s isn't monotonic", m.Name)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
		}
	}
	return got
}

type fixed struct{}

func (fixed) Topics() []resn.TopicState {
	return []resn.TopicState{
		{Topic: "orders", Live: true, Watermark: time.Unix(1, 0), Staleness: 1500 * time.Millisecond, Notices: 2, Duplicates: 3, Resets: 4, Rejected: 5},
		{Topic: "riders"},
	}
}

func (fixed) Refreshes() resn.RefreshStats {
	return resn.RefreshStats{Held: 6, Fetched: 7, Failed: 8, Coalesced: 9}
}

func (fixed) State() resn.ConsumerState {
	return resn.ConsumerState{
		Topic: "orders", Group: "index", Filling: true, Received: 1, Coalesced: 2, Handled: 3, Gone: 4, Unconfirmed: 5,
		Failures: 6, Rejected: 7, Resyncs: 8, Missed: 9, Waiting: 10, Current: time.Unix(1, 0), Staleness: 11 * time.Second,
	}
}

func TestEverythingIsShown(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	opts := &otelresn.Options{Attributes: []attribute.KeyValue{attribute.String("client", "a")}}
	stop, err := otelresn.Observe(fixed{}, provider, opts)
	if err != nil {
		t.Fatal(err)
	}
	stopConsumer, err := otelresn.ObserveConsumer(fixed{}, provider, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"swale.resn.live{client=a,topic=orders}":        1,
		"swale.resn.live{client=a,topic=riders}":        0,
		"swale.resn.staleness{client=a,topic=orders}":   1.5,
		"swale.resn.notices{client=a,topic=orders}":     2,
		"swale.resn.notices{client=a,topic=riders}":     0,
		"swale.resn.duplicates{client=a,topic=orders}":  3,
		"swale.resn.duplicates{client=a,topic=riders}":  0,
		"swale.resn.resets{client=a,topic=orders}":      4,
		"swale.resn.resets{client=a,topic=riders}":      0,
		"swale.resn.rejected{client=a,topic=orders}":    5,
		"swale.resn.rejected{client=a,topic=riders}":    0,
		"swale.resn.refresh.held{client=a}":             6,
		"swale.resn.refreshes{client=a,kind=fetched}":   7,
		"swale.resn.refreshes{client=a,kind=failed}":    8,
		"swale.resn.refreshes{client=a,kind=coalesced}": 9,

		"swale.resn.consumer.filling{group=index,topic=orders}":            1,
		"swale.resn.consumer.received{group=index,topic=orders}":           1,
		"swale.resn.consumer.coalesced{group=index,topic=orders}":          2,
		"swale.resn.consumer.handled{group=index,kind=there,topic=orders}": 3,
		"swale.resn.consumer.handled{group=index,kind=gone,topic=orders}":  4,
		"swale.resn.consumer.unconfirmed{group=index,topic=orders}":        5,
		"swale.resn.consumer.failures{group=index,topic=orders}":           6,
		"swale.resn.consumer.rejected{group=index,topic=orders}":           7,
		"swale.resn.consumer.resyncs{group=index,topic=orders}":            8,
		"swale.resn.consumer.missed{group=index,topic=orders}":             9,
		"swale.resn.consumer.waiting{group=index,topic=orders}":            10,
		"swale.resn.consumer.staleness{group=index,topic=orders}":          11,
	}
	if d := cmp.Diff(want, collect(t, reader)); d != "" {
		t.Errorf("every state has its metric (-want +got):\n%s", d)
	}
	for range 2 {
		if err := stop(); err != nil {
			t.Errorf("stop may be called twice: %v", err)
		}
		if err := stopConsumer(); err != nil {
			t.Errorf("stop may be called twice: %v", err)
		}
	}
	if got := collect(t, reader); len(got) != 0 {
		t.Errorf("after stop nothing is observed: %v", got)
	}
}

func ExampleObserve() {
	reader := sdk.NewManualReader() // or an exporter's
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))

	ctx := context.Background()
	b := membus.New(nil)
	client, err := resn.NewClient(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Listen(ctx, "menus"); err != nil {
		fmt.Println(err)
		return
	}
	stop, err := otelresn.Observe(client, provider, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	var rm metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &rm); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if live, ok := m.Data.(metricdata.Gauge[float64]); ok && m.Name == "swale.resn.live" {
			fmt.Println(m.Name, live.DataPoints[0].Value) // nobody has published a watermark
		}
	}
	_ = stop()
	_ = client.Close(ctx)
	_ = b.Shutdown(ctx)
	// Output: swale.resn.live 0
}
