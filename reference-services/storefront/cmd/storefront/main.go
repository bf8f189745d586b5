// Command storefront runs the service in front of the restaurants service.
//
// # Environment
//
//   - NATS_URL: the bus on which the owner announces changes, a NATS server with
//     JetStream (nats://127.0.0.1:8082).
//   - RESTAURANTS_URL: the root document of the restaurants service
//     (http://127.0.0.1:8081/).
//   - REGISTER: true has the service entered into the registry that is kept on
//     the bus, where the console and the door find it (false).
//   - LISTEN (127.0.0.1:8080), ADMIN_LISTEN (127.0.0.1:8090), LOG_LEVEL,
//     LOG_FORMAT (text), DRAIN_DELAY (500ms) and the others that package service
//     reads.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/cache/otelcache"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/otelresn"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

func main() {
	opts, err := options(os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, "storefront:", err)
		os.Exit(2)
	}
	service.Main(opts)
}

// settings are what the environment says besides what the chassis reads.
type settings struct {
	NATS  string `env:"NATS_URL" envDefault:"nats://127.0.0.1:8082"`
	Owner string `env:"RESTAURANTS_URL" envDefault:"http://127.0.0.1:8081/"`

	Register bool `env:"REGISTER"`
}

// options reads variables in the form of os.Environ, of which the last one holds.
func options(variables []string) (service.Options, error) {
	chassis, err := service.ReadEnvironment(append([]string{
		"LISTEN=127.0.0.1:8080", "ADMIN_LISTEN=127.0.0.1:8090", "LOG_FORMAT=text", "DRAIN_DELAY=500ms",
	}, variables...))
	if err != nil {
		return service.Options{}, err
	}
	set, err := env.ParseAsWithOptions[settings](env.Options{Environment: env.ToMap(variables)})
	if err != nil {
		return service.Options{}, err
	}
	telemetry, err := otelservice.New(nil)
	if err != nil {
		return service.Options{}, err
	}
	return telemetry.Instrument(service.Options{
		Name: "storefront", Environment: &chassis,
		Setup: func(ctx context.Context, s *service.Service) error { return setUp(ctx, s, set, telemetry) },
	}), nil
}

// setUp opens what the service needs: what is opened first is closed last. It
// starts without the owner too.
func setUp(ctx context.Context, s *service.Service, set settings, t *otelservice.Telemetry) error {
	b, err := natsbus.Open(ctx, set.NATS, &natsbus.Options{
		Bus: bus.Options{Logger: s.Logger().With("part", "bus")}, Conn: []nats.Option{nats.Name(s.Name())},
	})
	if err != nil {
		return fmt.Errorf("the bus at %s: %w; start the restaurants service, which brings one, or name another by NATS_URL", set.NATS, err)
	}
	s.Defer("bus", b.Shutdown)
	client, err := resn.NewClient(b, &resn.ClientOptions{
		// An owner that doesn't answer at all is given up before the patience with a
		// page is over: it is still made, of what may be served without the owner.
		Transport: t.Transport(service.PassDeadline(&http.Transport{
			DialContext:           (&net.Dialer{Timeout: 400 * time.Millisecond}).DialContext,
			ResponseHeaderTimeout: 800 * time.Millisecond,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
		})),
		Guard:  &resn.GuardOptions{Retries: 1},
		Logger: s.Logger(),
	})
	if err != nil {
		return err
	}
	s.Defer("client", client.Close)
	s.Show("topics", func() any { return client.Topics() })
	if _, err := otelcache.Observe(client.Cache(), t.MeterProvider(), nil); err != nil {
		return err
	}
	if _, err := otelresn.Observe(client, t.MeterProvider(), nil); err != nil {
		return err
	}
	handler := storefront.New(set.Owner, client, &storefront.Options{Logger: s.Logger()})
	if page := handler.Warm(ctx); page.Degraded() {
		s.Logger().WarnContext(ctx, "the restaurants service doesn't answer yet", "url", set.Owner, "error", page.Err)
	}
	s.Handle(handler)
	if set.Register {
		return register(ctx, s, set.NATS)
	}
	return ctx.Err()
}

// register has the service entered into the registry that is kept on the bus,
// when it is ready, and taken out before it stops.
func register(ctx context.Context, s *service.Service, url string) error {
	registry, err := natsdiscovery.Open(ctx, url, &natsdiscovery.Options{
		Conn: []nats.Option{nats.Name(s.Name() + " registry")}, Discovery: discovery.Options{Logger: s.Logger()},
	})
	if err != nil {
		return fmt.Errorf("the registry on the bus at %s: %w", url, err)
	}
	s.Defer("registry", registry.Shutdown)
	attributes := map[string]string{}
	if admin := s.Environment().AdminListen; admin != "off" {
		attributes["admin"] = "http://" + admin + "/" // where the console asks
	}
	return s.Register(registry, &service.RegisterOptions{Attributes: attributes})
}
