package otelservice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

func TestTheExposition(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	m := mux(t)
	m.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-leave
	})
	r := start(t, otelservice.Options{}, service.Options{
		Handler: service.Idempotent(service.NewMemoryIdempotency(0), nil)(m),
		Callers: service.CallerLimit{Max: 1},
		Setup: func(_ context.Context, s *service.Service) error {
			s.Check("database", func(context.Context) error { return nil })
			return nil
		},
	})
	r.has(t,
		`swale_service_info{instance_id="i1",region="",service="orders",version="1.2",zone="z1"} 1`,
		`swale_service_ready 1`,
		`swale_service_draining 0`,
		`swale_service_check_passing{check="database"} 1`,
		`swale_service_requests_refused_total 0`,
		`swale_service_requests_replayed_total 0`)
	for range 2 {
		r.ask(t, http.MethodPost, r.url+"/orders", http.Header{service.IdempotencyKeyHeader: {"k1"}})
	}
	r.ask(t, http.MethodGet, r.url+"/orders/7", nil)
	r.ask(t, http.MethodGet, r.url+"/orders/8", nil)
	r.ask(t, http.MethodGet, r.url+"/busy", nil)
	r.ask(t, http.MethodGet, r.url+"/", nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ask(t, http.MethodGet, r.url+"/slow", nil)
	}()
	<-inside
	r.has(t, `http_server_active_requests{http_request_method="GET",url_scheme="http"} 1`)
	r.ask(t, http.MethodGet, r.url+"/orders/9", nil)
	close(leave)
	<-done
	r.has(t,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/orders/{id}",url_scheme="http"} 2`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/",url_scheme="http"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="201",http_route="/orders",url_scheme="http"} 1`,
		`http_server_request_duration_seconds_count{error_type="503",http_request_method="GET",http_response_status_code="503",http_route="/busy",url_scheme="http"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="429",url_scheme="http"} 1`,
		`http_server_active_requests{http_request_method="GET",url_scheme="http"} 0`,
		`swale_service_requests_refused_total 1`,
		`swale_service_requests_replayed_total 1`)
	found, err := promlint.New(strings.NewReader(strings.Join(r.page(t), "\n") + "\n")).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range found {
		if strings.HasPrefix(p.Metric, "swale_") || strings.HasPrefix(p.Metric, "http_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// What a check finds, and that the service drains, is shown while it lasts.
func TestAServiceThatIsNotWell(t *testing.T) {
	broken, leave, inside := make(chan struct{}), make(chan struct{}), make(chan struct{})
	m := http.NewServeMux()
	m.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-leave
	})
	r := start(t, otelservice.Options{}, service.Options{Handler: m, CheckEvery: 1, Setup: func(_ context.Context, s *service.Service) error {
		s.Check("database", func(context.Context) error {
			select {
			case <-broken:
				return errors.New("connection refused")
			default:
				return nil
			}
		})
		return nil
	}})
	close(broken)
	r.has(t, `swale_service_ready 0`, `swale_service_check_passing{check="database"} 0`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ask(t, http.MethodGet, r.url+"/slow", nil)
	}()
	<-inside
	r.Stop(nil)
	r.has(t, `swale_service_ready 0`, `swale_service_draining 1`)
	close(leave)
	<-done
}

// Whatever clients send, the number of series is that of routes and statuses.
func TestHostileClientsMakeNoSeries(t *testing.T) {
	r := start(t, otelservice.Options{}, service.Options{Handler: mux(t)})
	const n = 300
	for i := range n {
		r.ask(t, fmt.Sprintf("BREW%d", i), fmt.Sprintf("%s/%d", r.url, i), http.Header{
			"Host": {fmt.Sprintf("h%d.example", i)}, "Traceparent": {fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)}, "User-Agent": {fmt.Sprint("a", i)},
			"X-Request-Id": {fmt.Sprint("r", i)}, "X-Forwarded-For": {fmt.Sprintf("10.0.0.%d", i)}, "X-Forwarded-Proto": {fmt.Sprint("p", i)},
		})
		r.ask(t, http.MethodGet, fmt.Sprintf("%s/orders/%d?q=%d", r.url, i, i), nil)
	}
	r.has(t,
		fmt.Sprintf(`http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="404",url_scheme="http"} %d`, n),
		fmt.Sprintf(`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/orders/{id}",url_scheme="http"} %d`, n))
	series := 0
	for _, line := range r.page(t) {
		if strings.HasPrefix(line, "http_server_") {
			series++
		}
	}
	if most := 2*(15+2) + 2; series > most {
		t.Errorf("%d series, want %d at the most", series, most)
	}
	for i, s := range r.spans.GetSpans() {
		if s.Name != "_OTHER" && s.Name != "GET /orders/{id}" {
			t.Errorf("span %d is named %q", i, s.Name)
		}
	}
}

// Requests to others are spans and are measured.
func TestTransport(t *testing.T) {
	r := start(t, otelservice.Options{}, service.Options{Handler: mux(t)})
	ctx, span := r.telemetry.TracerProvider().Tracer("test").Start(t.Context(), "work")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/orders/7", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.telemetry.Transport(r.client.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	span.End()
	r.span(t, 3)
	by := map[string]int{}
	spans := r.spans.GetSpans()
	for i, s := range spans {
		by[s.Name] = i
	}
	work, client, server := spans[by["work"]], spans[by["GET"]], spans[by["GET /orders/{id}"]]
	if string(body) != work.SpanContext.TraceID().String() || client.Parent.SpanID() != work.SpanContext.SpanID() || server.Parent.SpanID() != client.SpanContext.SpanID() {
		t.Errorf("work %v, client %v of %v, server of %v", work.SpanContext.SpanID(), client.SpanContext.SpanID(), client.Parent.SpanID(), server.Parent.SpanID())
	}
	if req.Header.Get("Traceparent") != "" {
		t.Error("the caller's request was changed")
	}
	page := strings.Join(r.page(t), "\n")
	if !strings.Contains(page, `http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200"`) {
		t.Errorf("not measured: %s", page)
	}
	if strings.Contains(page, "body_size") {
		t.Error("the page has what nobody asks for")
	}
}
