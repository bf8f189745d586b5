package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/service"
)

// TestTheProgram loads a page from an owner in small.
func TestTheProgram(t *testing.T) {
	server, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	documents := map[string]string{
		"/":       `{"_links":{"restaurants":{"href":"/list{?size}","templated":true}}}`,
		"/list":   `{"_links":{"item":[{"href":"/item/1"}]}}`,
		"/item/1": `{"name":"Alder"}`,
	}
	owner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/hal+json")
		_, _ = w.Write([]byte(documents[r.URL.Path]))
	}))
	t.Cleanup(owner.Close)
	opts, err := options([]string{
		"LISTEN=127.0.0.1:0", "ADMIN_LISTEN=off", "DRAIN_DELAY=0", "NATS_URL=" + server.URL(), "REGISTER=true", "RESTAURANTS_URL=" + owner.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, err := service.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Embedded struct {
			Items []struct{ Name string } `json:"item"`
		} `json:"_embedded"`
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+running.Addr().String()+"/nearby", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if len(page.Embedded.Items) != 1 || page.Embedded.Items[0].Name != "Alder" {
		t.Errorf("the page has %+v; the owner has Alder", page.Embedded.Items)
	}
	shown := httptest.NewRecorder()
	opts.Metrics.ServeHTTP(shown, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{`http_route="/nearby"`, "http_client_request_duration_seconds", "swale_cache_requests_total", "swale_resn_"} {
		if !strings.Contains(shown.Body.String(), want) {
			t.Errorf("/metrics has no %s:\n%s", want, shown.Body)
		}
	}
	registry, err := natsdiscovery.Open(t.Context(), server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = registry.Shutdown(context.WithoutCancel(t.Context())) }()
	if in, err := registry.List(t.Context(), "storefront"); err != nil || len(in) != 1 || in[0].Endpoints[0].Address != running.Addr().String() {
		t.Errorf("the registry has %+v, error %v; it runs at %s", in, err, running.Addr())
	}
	http.DefaultClient.CloseIdleConnections()
	running.Stop(nil)
	if err := running.Wait(); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if in, err := registry.List(t.Context(), "storefront"); err != nil || len(in) != 0 {
		t.Errorf("it has stopped, and the registry has %+v, error %v", in, err)
	}
}

func TestWithoutABusItSaysWhatToDo(t *testing.T) {
	opts, err := options([]string{"LISTEN=127.0.0.1:0", "ADMIN_LISTEN=off", "NATS_URL=nats://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("it ended with %v; the error must name NATS_URL", err)
	}
}
