// Command restaurants runs the restaurants service, on a bus inside of the
// process unless NATS_URL names another.
//
// # Environment
//
//   - NATS_URL: the bus, a NATS server with JetStream. Without it, one is
//     embedded and listens at NATS_LISTEN (127.0.0.1:8082).
//   - REGISTER: true has the service entered into the registry that is kept on
//     the bus at NATS_URL, where the console and the door find it (false).
//   - DATA: the directory in which everything is kept (data).
//   - BASE_URL: how clients reach the service; links and notices begin with it,
//     so it must stay the same. Default: http:// and the address it listens at.
//   - LISTEN (127.0.0.1:8081), ADMIN_LISTEN (127.0.0.1:8091), LOG_LEVEL,
//     LOG_FORMAT (text), DRAIN_DELAY (500ms) and the others that package service
//     reads.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/bus/otelbus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
	"github.com/goswale/swale/service/sqlidempotency"
)

func main() {
	opts, err := options(os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, "restaurants:", err)
		os.Exit(2)
	}
	service.Main(opts)
}

// settings are what the environment says besides what the chassis reads.
type settings struct {
	NATS       string `env:"NATS_URL"`
	NATSListen string `env:"NATS_LISTEN" envDefault:"127.0.0.1:8082"`
	Data       string `env:"DATA" envDefault:"data"`
	BaseURL    string `env:"BASE_URL"`
	Register   bool   `env:"REGISTER"`
}

// options reads variables in the form of os.Environ, of which the last one holds.
func options(variables []string) (service.Options, error) {
	chassis, err := service.ReadEnvironment(append([]string{
		"LISTEN=127.0.0.1:8081", "ADMIN_LISTEN=127.0.0.1:8091", "LOG_FORMAT=text", "DRAIN_DELAY=500ms",
	}, variables...))
	if err != nil {
		return service.Options{}, err
	}
	set, err := env.ParseAsWithOptions[settings](env.Options{Environment: env.ToMap(variables)})
	if err != nil {
		return service.Options{}, err
	}
	if set.Register && set.NATS == "" {
		return service.Options{}, errors.New("REGISTER wants NATS_URL: the registry is on the bus that all others are on")
	}
	telemetry, err := otelservice.New(nil)
	if err != nil {
		return service.Options{}, err
	}
	return telemetry.Instrument(service.Options{
		Name: "restaurants", Environment: &chassis,
		Setup: func(ctx context.Context, s *service.Service) error { return setUp(ctx, s, set, telemetry) },
	}), nil
}

// setUp opens what the service needs: what is opened first is closed last.
func setUp(ctx context.Context, s *service.Service, set settings, t *otelservice.Telemetry) error {
	base, err := baseURL(s, set)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(set.Data, 0o700); err != nil {
		return err
	}
	b, err := openBus(ctx, s, set, t)
	if err != nil {
		return err
	}
	db, err := restaurants.OpenDB(filepath.Join(set.Data, "restaurants.db"))
	if err != nil {
		return err
	}
	s.Defer("database", func(context.Context) error { return db.Close() })
	s.Check("database", db.PingContext)
	owner, err := restaurants.New(ctx, db, b, &restaurants.Options{
		BaseURL: base, Logger: s.Logger(), BeforeAppend: otelbus.New(t.TracerProvider()).BeforePublish,
	})
	if err != nil {
		return err
	}
	s.Go("relay", owner.Run)
	s.Show("relay", func() any { return owner.RelayStats() })
	answered := sqlidempotency.New(db, nil) // beside the restaurants, so that it is backed up with them
	if err := answered.Migrate(ctx); err != nil {
		return err
	}
	s.Handle(service.Idempotent(answered, nil)(owner.Handler()))
	if set.Register {
		return register(ctx, s, set.NATS)
	}
	return nil
}

// baseURL is how clients reach the service.
func baseURL(s *service.Service, set settings) (string, error) {
	if set.BaseURL != "" {
		return set.BaseURL, nil
	}
	if at, ok := s.Addr().(*net.TCPAddr); ok && at.IP.IsUnspecified() {
		return "", fmt.Errorf("LISTEN is %s, which isn't where clients reach the service: say so by BASE_URL, such as https://restaurants.example", s.Environment().Listen)
	}
	return "http://" + s.Addr().String(), nil
}

// openBus connects to the bus, and starts one in this process if there is none.
func openBus(ctx context.Context, s *service.Service, set settings, t *otelservice.Telemetry) (*bus.Bus, error) {
	var inside []nats.Option
	if set.NATS == "" {
		host, text, err := net.SplitHostPort(set.NATSListen)
		port, numberErr := strconv.Atoi(text)
		if err := cmp.Or(err, numberErr); err != nil {
			return nil, fmt.Errorf("NATS_LISTEN is %q; it must be HOST:PORT: %w", set.NATSListen, err)
		}
		server, err := embedded.Start(ctx, &embedded.Options{
			Dir: filepath.Join(set.Data, "nats"), Host: host, Port: port, Logger: s.Logger().With("part", "nats"),
		})
		if err != nil {
			return nil, fmt.Errorf("the bus at NATS_LISTEN, %s: %w", set.NATSListen, err)
		}
		s.Defer("embedded bus", func(context.Context) error {
			server.Shutdown()
			return nil
		})
		set.NATS, inside = server.URL(), server.InProcess()
	}
	opts := natsbus.Options{
		Bus: bus.Options{Logger: s.Logger().With("part", "bus")}, Conn: append(inside, nats.Name(s.Name())),
		MaxBytes: 1 << 30, // of notices that every reader has had time to see
	}
	if err := otelbus.Instrument(&opts.Bus, &otelbus.Options{TracerProvider: t.TracerProvider(), MeterProvider: t.MeterProvider()}); err != nil {
		return nil, err
	}
	b, err := natsbus.Open(ctx, set.NATS, &opts)
	if err != nil {
		return nil, fmt.Errorf("the bus at %s: %w; NATS_URL wants a NATS server with JetStream", set.NATS, err)
	}
	s.Defer("bus", b.Shutdown)
	return b, nil
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
