package otelcache_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/cache/otelcache"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// collect returns every sum by name and attributes.
func collect(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				t.Errorf("%s is a %T, want a sum", m.Name, m.Data)
				continue
			}
			if m.Unit == "" || m.Description == "" {
				t.Errorf("%s has no unit or no description", m.Name)
			}
			for _, p := range sum.DataPoints {
				name := m.Name
				if p.Attributes.Len() > 0 {
					name += "{" + p.Attributes.Encoded(attribute.DefaultEncoder()) + "}"
				}
				got[name] = p.Value
				held := name == "swale.cache.usage" || name == "swale.cache.entries" || name == "swale.cache.records"
				if p.Attributes.Len() == 0 && sum.IsMonotonic == held {
					t.Errorf("%s: monotonic is %v", name, sum.IsMonotonic)
				}
			}
		}
	}
	return got
}

type fixed cache.Stats

func (f fixed) Stats() cache.Stats { return cache.Stats(f) }

func TestEveryCountIsShown(t *testing.T) {
	// Every field of Stats gets a value of its own, so that none can stand in
	// for another and a new one is noticed.
	var s cache.Stats
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		n := int64(1) << i
		if f := v.Field(i); f.CanUint() {
			f.SetUint(uint64(n))
		} else {
			f.SetInt(n)
		}
	}
	s.Hits = s.Vouched + s.Stale + 1<<30
	reader := sdk.NewManualReader()
	stop, err := otelcache.Observe(fixed(s), sdk.NewMeterProvider(sdk.WithReader(reader)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{
		"swale.cache.hits{kind=fresh}":          1 << 30,
		"swale.cache.hits{kind=vouched}":        int64(s.Vouched),
		"swale.cache.hits{kind=stale}":          int64(s.Stale),
		"swale.cache.hits.typed":                int64(s.Typed),
		"swale.cache.requests{kind=miss}":       int64(s.Misses),
		"swale.cache.requests{kind=validation}": int64(s.Validations),
		"swale.cache.requests{kind=bypass}":     int64(s.Bypassed),
		"swale.cache.not_modified":              int64(s.NotModified),
		"swale.cache.collapsed":                 int64(s.Collapsed),
		"swale.cache.refreshes":                 int64(s.Refreshes),
		"swale.cache.stored":                    int64(s.Stored),
		"swale.cache.rejected":                  int64(s.Rejected),
		"swale.cache.evictions":                 int64(s.Evictions),
		"swale.cache.invalidations":             int64(s.Notices),
		"swale.cache.errors":                    int64(s.Errors),
		"swale.cache.usage":                     s.Bytes,
		"swale.cache.entries":                   int64(s.Entries),
		"swale.cache.records":                   int64(s.Records),
	}
	if diff := cmp.Diff(want, collect(t, reader)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	shown := map[int64]bool{1 << 30: true}
	for _, n := range want {
		shown[n] = true
	}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Hits" && !shown[int64(1)<<i] {
			t.Errorf("Stats.%s isn't shown by any metric", name)
		}
	}
	for range 2 {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if got := collect(t, reader); len(got) > 0 {
		t.Errorf("stopped, and still observed: %v", got)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTwoCachesAreToldApart(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	for _, name := range []string{"menus", "riders"} {
		c := cache.New(roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Cache-Control": {"max-age=60"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
				Body:   io.NopCloser(strings.NewReader("pasta")), ContentLength: 5, Request: req,
			}, nil
		}), nil)
		t.Cleanup(func() { _ = c.Close() })
		stop, err := otelcache.Observe(c, provider, &otelcache.Options{Attributes: []attribute.KeyValue{attribute.String("cache", name)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stop() })
		reads := 3
		if name == "riders" {
			reads = 2
		}
		for range reads {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/"+name, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	got := collect(t, reader)
	for name, want := range map[string]int64{
		"swale.cache.hits{cache=menus,kind=fresh}":     2,
		"swale.cache.hits{cache=riders,kind=fresh}":    1,
		"swale.cache.requests{cache=menus,kind=miss}":  1,
		"swale.cache.requests{cache=riders,kind=miss}": 1,
		"swale.cache.entries{cache=menus}":             1,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
}
