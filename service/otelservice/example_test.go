package otelservice_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/otelbus"
	"github.com/goswale/swale/cache/otelcache"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/otelresn"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

// An edge service whose /metrics has its requests, the hits of its cache, what its
// bus does, and how stale an answer can be.
func Example() {
	menus, announce := owner()
	defer menus.Close()
	telemetry, err := otelservice.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	metrics := telemetry.MeterProvider()

	setup := func(ctx context.Context, s *service.Service) error {
		var opts membus.Options // a program has natsbus here
		if err := otelbus.Instrument(&opts.Bus, &otelbus.Options{MeterProvider: metrics, TracerProvider: telemetry.TracerProvider()}); err != nil {
			return err
		}
		b := membus.New(&opts)
		s.Defer("bus", b.Shutdown)
		client, err := resn.NewClient(b, &resn.ClientOptions{Transport: telemetry.Transport(nil)})
		if err != nil {
			return err
		}
		s.Defer("client", client.Close)
		if _, err := otelcache.Observe(client.Cache(), metrics, nil); err != nil {
			return err
		}
		if _, err := otelresn.Observe(client, metrics, nil); err != nil {
			return err
		}
		s.Handle(page(client, menus.URL))
		return announce(ctx, s, b, client)
	}

	admin, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := service.Start(context.Background(), telemetry.Instrument(service.Options{
		Name: "storefront", Version: "1.4.0", Setup: setup, AdminListener: admin, Logger: slog.New(slog.DiscardHandler),
		Environment: &service.Environment{Listen: "127.0.0.1:0", Instance: "i1", Zone: "a", Region: "eu"},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 5 {
		read("http://" + s.Addr().String() + "/pages/1")
	}
	show := []string{
		"http_server_request_duration_seconds_count", "swale_cache_hits_total",
		"swale_resn_live", "swale_service_ready", "swale_service_info",
		"swale_resn_staleness_seconds", `swale_bus_published_total{topic="menus"}`,
	}
	for line := range strings.Lines(read("http://" + admin.Addr().String() + "/metrics")) {
		i := slices.IndexFunc(show, func(name string) bool { return strings.HasPrefix(line, name) })
		switch {
		case i >= len(show)-2: // the value differs from run to run
			fmt.Println(line[:strings.LastIndex(line, " ")])
		case i >= 0:
			fmt.Print(line)
		}
	}
	s.Stop(nil)
	if err := s.Wait(); err != nil {
		fmt.Println(err)
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/pages/{id}",url_scheme="http"} 5
	// swale_bus_published_total{topic="menus"}
	// swale_cache_hits_total{kind="fresh"} 0
	// swale_cache_hits_total{kind="stale"} 0
	// swale_cache_hits_total{kind="vouched"} 4
	// swale_resn_live{topic="menus"} 1
	// swale_resn_staleness_seconds{topic="menus"}
	// swale_service_info{instance_id="i1",region="eu",service="storefront",version="1.4.0",zone="a"} 1
	// swale_service_ready 1
}

// page answers with what the owner says.
func page(client *resn.Client, origin string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pages/{id}", func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, origin+"/menus/"+r.PathValue("id"), http.NoBody)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		resp, err := client.HTTP().Do(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(w, resp.Body)
	})
	return mux
}

// owner serves menus, and returns what has the service hear of their changes.
func owner() (*httptest.Server, func(context.Context, *service.Service, *bus.Bus, *resn.Client) error) {
	menus := httptest.NewServer(resn.Stamp("menus")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=5")
		_, _ = io.WriteString(w, "dumplings")
	})))
	return menus, func(ctx context.Context, s *service.Service, b *bus.Bus, client *resn.Client) error {
		announce, err := resn.NewPublisher(b, "menus", nil)
		if err != nil {
			return err
		}
		s.Defer("owner", announce.Close)
		if err := client.Listen(ctx, "menus"); err != nil {
			return err
		}
		for !client.Topics()[0].Live {
			<-time.After(time.Millisecond)
		}
		return nil
	}
}

func read(url string) string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
