package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/service"
)

// TestTheProgram makes a change over HTTP and hears of it on the bus.
func TestTheProgram(t *testing.T) {
	server, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	opts, err := options([]string{
		"LISTEN=127.0.0.1:0", "ADMIN_LISTEN=off", "DRAIN_DELAY=0", "DATA=" + t.TempDir(), "NATS_URL=" + server.URL(), "REGISTER=true",
	})
	if err != nil {
		t.Fatal(err)
	}
	running, err := service.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := natsbus.Open(t.Context(), server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	notices := make(chan bus.Event, 1)
	_, err = b.Broadcast(t.Context(), "restaurants", bus.BroadcastHandler{Event: func(e bus.Event) {
		if e.Type == "resn.create" {
			notices <- e
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}

	root := "http://" + running.Addr().String() + "/"
	var doc struct {
		Links map[string]struct{ Href string } `json:"_links"`
	}
	resp := do(t, http.MethodGet, root, "")
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	collection, _, _ := strings.Cut(doc.Links["restaurants"].Href, "{")
	if !strings.HasPrefix(collection, root) {
		t.Fatalf("the root leads to %q; links begin with where the service is, %s", collection, root)
	}
	post := func() (href string) {
		resp := do(t, http.MethodPost, collection, `{"name":"Alder","status":"open","location":{"lat":40.71,"lon":-74}}`, "Idempotency-Key", `"once"`)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("POST gave %s", resp.Status)
		}
		return resp.Header.Get("Location")
	}
	made := post()
	if again := post(); again != made {
		t.Errorf("a POST that is sent again, with its key, made %s beside %s", again, made)
	}
	select {
	case e := <-notices:
		if e.Subject != made {
			t.Errorf("the notice is about %s, and %s was made", e.Subject, made)
		}
	case <-time.After(2 * time.Minute):
		t.Error("nobody heard of the change")
	}

	shown := httptest.NewRecorder()
	opts.Metrics.ServeHTTP(shown, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{`http_route="/restaurants"`, `swale_bus_published_total{topic="restaurants"}`, "swale_service_requests_replayed_total 1"} {
		if !strings.Contains(shown.Body.String(), want) {
			t.Errorf("/metrics has no %s:\n%s", want, shown.Body)
		}
	}
	if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	registry, err := natsdiscovery.Open(t.Context(), server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = registry.Shutdown(context.WithoutCancel(t.Context())) }()
	if in, err := registry.List(t.Context(), "restaurants"); err != nil || len(in) != 1 || in[0].Endpoints[0].Address != running.Addr().String() {
		t.Errorf("the registry has %+v, error %v; it runs at %s", in, err, running.Addr())
	}
	http.DefaultClient.CloseIdleConnections()
	running.Stop(nil)
	if err := running.Wait(); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if in, err := registry.List(t.Context(), "restaurants"); err != nil || len(in) != 0 {
		t.Errorf("it has stopped, and the registry has %+v, error %v", in, err)
	}
}

func do(t *testing.T, method, url, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestTheEnvironmentIsChecked(t *testing.T) {
	if _, err := options([]string{"DRAIN_TIMEOUT=soon"}); err == nil || !strings.Contains(err.Error(), "DRAIN_TIMEOUT") {
		t.Errorf("DRAIN_TIMEOUT=soon gave %v; the error must name the variable", err)
	}
	if _, err := options([]string{"REGISTER=true"}); err == nil || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("REGISTER=true without NATS_URL gave %v; the error must name what is missing", err)
	}
	for _, variables := range [][]string{{"LISTEN=:0"}, {"LISTEN=127.0.0.1:0", "NATS_LISTEN=8082"}} {
		opts, err := options(append(variables, "ADMIN_LISTEN=off", "DRAIN_DELAY=0", "DATA="+t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(variables[len(variables)-1], "=")
		if err := service.Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: it ended with %v; the error must name %s", variables, err, name)
		}
	}
}
