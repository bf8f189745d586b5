package otelservice_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aSpan   = "b7ad6b7169203331"
	aParent = "00-" + aTrace + "-" + aSpan + "-01"
)

func mux(t *testing.T) *http.ServeMux {
	t.Helper()
	m := http.NewServeMux()
	m.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, trace.SpanContextFromContext(r.Context()).TraceID())
	})
	m.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	m.HandleFunc("POST /orders", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	m.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	m.HandleFunc("GET /gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	m.HandleFunc("GET /busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	return m
}

func TestSpansOfRequests(t *testing.T) {
	r := start(t, otelservice.Options{}, service.Options{Handler: mux(t)})
	if _, body := r.ask(t, http.MethodGet, r.url+"/orders/7?token=secret", http.Header{"Traceparent": {aParent}, "Tracestate": {"shop=1"}}); body != aTrace {
		t.Errorf("the handler is in the trace %s, want that of its caller", body)
	}
	s := r.span(t, 1)
	if s.Name != "GET /orders/{id}" || s.SpanKind != trace.SpanKindServer || s.Parent.SpanID().String() != aSpan || !s.Parent.IsRemote() || s.SpanContext.TraceState().Get("shop") != "1" {
		t.Errorf("%+v", s)
	}
	for key, want := range map[string]string{
		"http.request.method": "GET", "http.route": "/orders/{id}", "url.path": "/orders/7", "url.scheme": "http",
		"http.response.status_code": "200", "http.response.body.size": "32", "swale.caller": "address 127.0.0.1", "error.type": "",
	} {
		if got := attr(s, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if s.Status.Code != codes.Unset || attr(s, "swale.request.id") == "" {
		t.Errorf("status %v, attributes %v", s.Status, s.Attributes)
	}
	if log := r.log.String(); !strings.Contains(log, "msg=request") || !strings.Contains(log, "trace_id="+aTrace+" span_id="+s.SpanContext.SpanID().String()) {
		t.Errorf("a request's line says which span it is: %s", log)
	}
	n := 1
	for path, want := range map[string]string{"/panic": "panic", "/gone": "aborted", "/busy": "503", "/nowhere": ""} {
		r.ask(t, http.MethodGet, r.url+path, nil)
		n++
		s := r.span(t, n)
		if s.Parent.IsValid() || attr(s, "error.type") != want || (s.Status.Code == codes.Error) != (want != "") {
			t.Errorf("%s: error %q, status %v, parent %v", path, attr(s, "error.type"), s.Status, s.Parent)
		}
		if path == "/nowhere" && (s.Name != "GET" || attr(s, "http.route") != "") {
			t.Errorf("no route, and the span is %q", s.Name)
		}
	}
}

// What is no trace context by the letter begins a trace.
func TestATraceFromOutsideIsData(t *testing.T) {
	r := start(t, otelservice.Options{}, service.Options{Handler: mux(t)})
	for i, h := range []http.Header{
		{"Traceparent": {""}},
		{"Traceparent": {"00-" + strings.Repeat("0", 32) + "-" + aSpan + "-01"}},
		{"Traceparent": {"00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01"}},
		{"Traceparent": {"ff-" + aTrace + "-" + aSpan + "-01"}},
		{"Traceparent": {strings.ToUpper(aParent)}},
		{"Traceparent": {aParent + "-more"}},
		{"Traceparent": {strings.Repeat("00-", 10000)}},
		{"Traceparent": {aParent, aParent}},
		{"Tracestate": {"shop=1"}},
	} {
		status, body := r.ask(t, http.MethodGet, r.url+"/orders/7", h)
		if s := r.span(t, i+1); status != http.StatusOK || s.Parent.IsValid() || body == aTrace || len(body) != 32 || s.SpanContext.TraceState().Len() > 0 {
			t.Errorf("%.80v: %d, trace %s, parent %v", h, status, body, s.Parent)
		}
	}
	r.ask(t, http.MethodGet, r.url+"/orders/7", http.Header{"Traceparent": {aParent}, "Tracestate": {strings.Repeat("a=b,", 500) + "!!"}})
	if s := r.span(t, 10); s.Parent.SpanID().String() != aSpan || s.SpanContext.TraceState().Len() > 0 {
		t.Errorf("a tracestate that can't be read: parent %v, state %q", s.Parent, s.SpanContext.TraceState())
	}
}

func TestStrangersBeginTraces(t *testing.T) {
	r := start(t, otelservice.Options{Public: true}, service.Options{Handler: mux(t)})
	r.ask(t, http.MethodGet, r.url+"/orders/7", http.Header{"Traceparent": {aParent}, "Tracestate": {"shop=1"}})
	s := r.span(t, 1)
	if s.Parent.IsValid() || s.SpanContext.TraceID().String() == aTrace || s.SpanContext.TraceState().Len() > 0 {
		t.Errorf("a stranger's trace goes on: %v", s.SpanContext)
	}
	if len(s.Links) != 1 || s.Links[0].SpanContext.SpanID().String() != aSpan {
		t.Errorf("links %v", s.Links)
	}
}

// Without a provider nothing is recorded; log lines and those called are still
// in one trace, and others' decision to record it is kept.
func TestWithoutAProvider(t *testing.T) {
	next := make(chan http.Header, 2)
	telemetry, err := otelservice.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := telemetry.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		next <- r.Header
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}))
	r := start(t, otelservice.Options{TracerProvider: telemetry.TracerProvider()}, service.Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://riders.example/", http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
	})})
	r.ask(t, http.MethodGet, r.url+"/", nil)
	if p := (<-next).Get("Traceparent"); len(p) != len(aParent) || !strings.HasSuffix(p, "-00") || !strings.Contains(r.log.String(), "trace_id="+p[3:35]) {
		t.Errorf("passed on %q; logged %s", p, r.log)
	}
	r.ask(t, http.MethodGet, r.url+"/", http.Header{"Traceparent": {aParent}})
	if p := (<-next).Get("Traceparent"); !strings.HasPrefix(p, "00-"+aTrace) || !strings.HasSuffix(p, "-01") || strings.Contains(p, aSpan) {
		t.Errorf("of %s, passed on %s", aParent, p)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
