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
)

// maxBusBytes bounds what the bus keeps of events that every group has had
// time to see. A notice has some 300 bytes.
const maxBusBytes = 1 << 30

// startBus starts the embedded bus, or connects to one that runs elsewhere.
func (s *System) startBus(ctx context.Context, opts Options) error {
	if opts.NATS != "" {
		b, err := ConnectBus(ctx, opts.NATS, s.log)
		if err != nil {
			return err
		}
		s.Bus, s.NATSURL = b, opts.NATS
		s.started("connection to the bus", b.Shutdown)
		return nil
	}
	host, port, err := s.natsPort(ctx, opts)
	if err != nil {
		return err
	}
	server, err := embedded.Start(ctx, &embedded.Options{
		Dir: busDir(opts.Data), Host: host, Port: port, Logger: s.log.With("service", "nats"),
	})
	if err != nil {
		return fmt.Errorf("start the embedded bus: %w", err)
	}
	s.started("embedded bus", func(context.Context) error {
		server.Shutdown()
		return nil
	})
	b, err := natsbus.Open(ctx, server.URL(), natsOptions(s.log, server.InProcess()...))
	if err != nil {
		return fmt.Errorf("connect to the embedded bus: %w", err)
	}
	s.Bus, s.NATSURL, s.Embedded = b, server.URL(), true
	s.started("connection to the bus", b.Shutdown)
	return nil
}

// natsPort returns where the embedded bus shall listen. It tries the port
// itself, because what the server says about one in use helps nobody.
func (s *System) natsPort(ctx context.Context, opts Options) (host string, port int, err error) {
	l, err := listen(ctx, opts.NATSListen, "nats-listen")
	if err != nil {
		return "", 0, err
	}
	if err := l.Close(); err != nil {
		return "", 0, err
	}
	host, text, err := net.SplitHostPort(opts.NATSListen)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// ConnectBus connects to a NATS server with JetStream.
func ConnectBus(ctx context.Context, url string, logger *slog.Logger) (*bus.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := natsbus.Open(ctx, url, natsOptions(logger))
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no bus answers at %s: start one (swale up does), or name another with --nats (%w)", url, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the bus at %s: %w", url, err)
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
