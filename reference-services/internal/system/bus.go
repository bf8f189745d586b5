package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/bus/otelbus"
	"github.com/goswale/swale/service"
)

// maxBusBytes bounds what the bus keeps of events that every group has had
// time to see. A notice has some 300 bytes.
const maxBusBytes = 1 << 30

// startBus starts the embedded bus, unless one runs elsewhere.
func (s *System) startBus(ctx context.Context) error {
	if s.opts.NATS != "" {
		s.NATSURL = s.opts.NATS
		return nil
	}
	host, port, err := s.natsPort(ctx)
	if err != nil {
		return err
	}
	server, err := embedded.Start(ctx, &embedded.Options{
		Dir: busDir(s.opts.Data), Host: host, Port: port, Logger: s.log.With("service", "nats"),
	})
	if err != nil {
		return fmt.Errorf("start the embedded bus: %w", err)
	}
	s.held = append(s.held, func() error {
		server.Shutdown()
		return nil
	})
	s.NATSURL, s.Embedded, s.inside = server.URL(), true, server.InProcess()
	return nil
}

// natsPort returns where the embedded bus shall listen. It tries the port
// itself, because what the server says about one in use helps nobody.
func (s *System) natsPort(ctx context.Context) (host string, port int, err error) {
	l, err := listen(ctx, s.opts.NATSListen, "nats-listen")
	if err != nil {
		return "", 0, err
	}
	if err := l.Close(); err != nil {
		return "", 0, err
	}
	host, text, err := net.SplitHostPort(s.opts.NATSListen)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// connect connects a service to the bus, which is closed when all else of it has
// ended.
func (s *System) connect(ctx context.Context, svc *service.Service) (*bus.Bus, error) {
	opts := natsOptions(svc.Logger(), s.inside...)
	t := s.telemetry[svc.Name()]
	if err := otelbus.Instrument(&opts.Bus, &otelbus.Options{TracerProvider: t.TracerProvider(), MeterProvider: t.MeterProvider()}); err != nil {
		return nil, err
	}
	b, err := connectBus(ctx, s.NATSURL, opts)
	if err == nil {
		svc.Defer("bus", b.Shutdown)
	}
	return b, err
}

// Connect returns another connection to the system's bus, the caller's to shut
// down.
func (s *System) Connect(ctx context.Context) (*bus.Bus, error) {
	return connectBus(ctx, s.NATSURL, natsOptions(s.log, s.inside...))
}

// ConnectBus connects to a NATS server with JetStream.
func ConnectBus(ctx context.Context, url string, logger *slog.Logger) (*bus.Bus, error) {
	return connectBus(ctx, url, natsOptions(logger))
}

func connectBus(ctx context.Context, url string, opts *natsbus.Options) (*bus.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := natsbus.Open(ctx, url, opts) // its errors name the URL without its password
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no bus answers: start one (swale up does), or name another with --nats (%w)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("the bus can't be used: %w; --nats wants the URL of a NATS server with JetStream, such as nats://127.0.0.1:4222", err)
	}
	return b, nil
}

func natsOptions(logger *slog.Logger, conn ...nats.Option) *natsbus.Options {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &natsbus.Options{
		Bus:      bus.Options{Logger: logger.With("part", "bus")},
		Conn:     append(conn, nats.Name("swale")),
		MaxBytes: maxBusBytes,
	}
}
