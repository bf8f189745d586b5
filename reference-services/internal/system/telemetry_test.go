package system

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/otelbus"
	"github.com/goswale/swale/reference-services/restaurants"
)

// recording keeps the spans of all services.
type recording struct {
	mu        sync.Mutex
	exporter  *tracetest.InMemoryExporter
	providers map[string]*sdktrace.TracerProvider
}

func (r *recording) of(service string) trace.TracerProvider {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.providers[service] == nil {
		r.providers[service] = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.exporter),
			sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
	}
	return r.providers[service]
}

// steps describes a span and those that it was called by, the first last: the
// service, the kind and the name of each.
func steps(spans tracetest.SpanStubs, s tracetest.SpanStub) []string {
	service, _ := s.Resource.Set().Value("service.name")
	all := []string{service.AsString() + " " + s.SpanKind.String() + " " + s.Name}
	for _, parent := range spans {
		if s.Parent.IsValid() && parent.SpanContext.SpanID() == s.Parent.SpanID() && parent.SpanContext.TraceID() == s.SpanContext.TraceID() {
			return append(all, steps(spans, parent)...)
		}
	}
	return all
}

// led reports which of the wanted ways no span has come by, once all have ended.
func (r *recording) led(t *testing.T, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		spans := r.exporter.GetSpans()
		var ways []string
		for _, s := range spans {
			ways = append(ways, strings.Join(steps(spans, s), " < "))
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(way string) bool { return slices.Contains(ways, way) })
		if len(missing) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("no span came by\n%s\nof\n%s", strings.Join(missing, "\n"), strings.Join(ways, "\n"))
		}
	}
}

func ask(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A trace begins at the door and goes wherever the request does: to the services,
// and with the notice of a change to those who hear of it.
func TestATraceGoesThroughAllServices(t *testing.T) {
	seen := &recording{exporter: tracetest.NewInMemoryExporter(), providers: make(map[string]*sdktrace.TracerProvider)}
	s, err := Start(t.Context(), Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", City: 3, Kernel: true, Traces: seen.of,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	opts := natsOptions(nil, s.inside...)
	if err := otelbus.Instrument(&opts.Bus, &otelbus.Options{TracerProvider: seen.of("index")}); err != nil {
		t.Fatal(err)
	}
	b, err := connectBus(t.Context(), s.NATSURL, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) }()
	if _, err := b.Group(t.Context(), restaurants.Topic, "index", func(context.Context, *bus.Delivery) error { return nil }, nil); err != nil {
		t.Fatal(err)
	}

	const stranger = "0af7651916cd43dd8448eb211c80319c"
	if status, body := ask(t, http.MethodGet, s.DoorURL+"nearby?geohash=dr5", "", http.Header{"Traceparent": {"00-" + stranger + "-b7ad6b7169203331-01"}}); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := ask(t, http.MethodPost, s.DoorURL+"restaurants", `{"name":"Dumplings","location":{"lat":40.7,"lon":-74},"status":"open"}`,
		http.Header{"Content-Type": {"application/json"}}); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	const there = " < door client POST < door server POST"
	seen.led(t,
		"restaurants server GET /restaurants < storefront client GET < storefront server GET /nearby < door client GET < door server GET",
		"restaurants server POST /restaurants"+there,
		"index consumer process restaurants < restaurants server POST /restaurants"+there,
	)
	for _, span := range seen.exporter.GetSpans() {
		if span.SpanContext.TraceID().String() == stranger {
			t.Errorf("%v goes on with a stranger's trace", steps(seen.exporter.GetSpans(), span))
		}
	}
}

// Every admin port has /metrics, with what its service has.
func TestEveryServiceIsMeasured(t *testing.T) {
	s, err := Start(t.Context(), Options{Data: t.TempDir(), Listen: "127.0.0.1:0", City: 3, Kernel: true, Delivery: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{"nearby", "orders/open", "riders/free"} {
		if status, body := ask(t, http.MethodGet, s.DoorURL+path, "", nil); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	want := map[string][]string{
		"kernel":      {`swale_outbox_waiting{topic="config"}`, `swale_outbox_waiting{topic="sessions"}`, `swale_bus_published_total{topic="config"}`},
		"restaurants": {`swale_outbox_lag_seconds{topic="restaurants"}`, `swale_outbox_leading 1`, `swale_bus_published_total{topic="restaurants"}`, `http_route="/restaurants/{id}"`},
		"orders":      {`swale_outbox_lag_seconds{topic="orders"}`, `swale_outbox_leading 1`, `http_route="/orders/open"`},
		"riders":      {`swale_outbox_lag_seconds{topic="riders"}`, `swale_outbox_leading 1`, `http_route="/riders/free"`},
		"storefront":  {`swale_cache_hits_total{kind="vouched"}`, `swale_resn_live{topic="restaurants"}`, `swale_resn_staleness_seconds{topic="restaurants"}`, `http_route="/nearby"`, `http_client_request_duration_seconds`},
		"door":        {`server_address="storefront"`},
	}
	for _, a := range s.Admin {
		texts := append(want[a.Service], `swale_service_ready 1`, `service="`+a.Service+`"`, "go_goroutines ")
		delete(want, a.Service)
		for until := time.Now().Add(2 * time.Minute); ; { // a relay takes a moment to lead
			_, page := ask(t, http.MethodGet, a.URL+"metrics", "", nil)
			missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(page, text) })
			if len(missing) == 0 {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("/metrics of %s lacks %q:\n%s", a.Service, missing, page)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("without an admin port: %v", want)
	}
}
