package otelservice_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is a service under test. Its client sends nothing twice.
type running struct {
	*service.Service
	telemetry  *otelservice.Telemetry
	url, admin string
	log        *lines
	spans      *tracetest.InMemoryExporter
	client     *http.Client
}

// start runs a service with telemetry whose spans are all kept.
func start(t *testing.T, o otelservice.Options, opts service.Options) *running {
	t.Helper()
	r := &running{log: new(lines), spans: tracetest.NewInMemoryExporter(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if o.TracerProvider == nil {
		o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	}
	telemetry, err := otelservice.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	r.telemetry = telemetry
	opts.Name, opts.Version = "orders", "1.2"
	opts.Environment = &service.Environment{Instance: "i1", Zone: "z1", DrainDelay: time.Millisecond, DrainTimeout: time.Minute}
	opts.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, l := range []*net.Listener{&opts.Listener, &opts.AdminListener} {
		if *l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r.admin, r.url = "http://"+opts.AdminListener.Addr().String(), "http://"+opts.Listener.Addr().String()
	if r.Service, err = service.Start(t.Context(), telemetry.Instrument(opts)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.Stop(nil)
		if err := r.Wait(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// ask sends a request and returns the answer's status and body.
func (r *running) ask(t *testing.T, method, url string, header http.Header) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		if name == "Host" {
			req.Host = values[0]
			continue
		}
		req.Header[name] = values
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// page returns the lines of /metrics.
func (r *running) page(t *testing.T) []string {
	t.Helper()
	status, text := r.ask(t, http.MethodGet, r.admin+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, text)
	}
	return strings.Split(strings.TrimSpace(text), "\n")
}

// has reports which lines are missing of a page, once what is under way is told.
func (r *running) has(t *testing.T, want ...string) {
	t.Helper()
	var page []string
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	missing := want
	for len(missing) > 0 && ctx.Err() == nil {
		page = r.page(t)
		missing = slices.DeleteFunc(slices.Clone(want), func(line string) bool { return slices.Contains(page, line) })
	}
	if len(missing) > 0 {
		t.Errorf("missing:\n%s\nin:\n%s", strings.Join(missing, "\n"), strings.Join(page, "\n"))
	}
}

// span waits for n spans to have ended and returns the last one.
func (r *running) span(t *testing.T, n int) tracetest.SpanStub {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if ended := r.spans.GetSpans(); len(ended) >= n {
			return ended[n-1]
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	t.Fatalf("%d spans have ended, want %d", len(r.spans.GetSpans()), n)
	return tracetest.SpanStub{}
}

// attr returns an attribute of a span, as text.
func attr(s tracetest.SpanStub, key string) string {
	for _, a := range s.Attributes {
		if a.Key == attribute.Key(key) {
			return a.Value.String()
		}
	}
	return ""
}
