package system

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/otelbus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/reference-services/orders"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/reference-services/riders"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/sqlidempotency"
)

// domain is a domain service.
type domain interface {
	Handler() http.Handler
	Run(ctx context.Context) error
	RelayStats() outbox.RelayStats
}

// domainParts are what a domain service is made of.
type domainParts struct {
	db       *sql.DB
	bus      *bus.Bus
	registry *discovery.Registry
	before   func(context.Context, string, *bus.Event) // a notice goes into the outbox
}

// serveDomain opens a domain service: its database, in a directory of its own, what
// open makes of it, and its relay.
func (s *System) serveDomain(ctx context.Context, svc *service.Service, open func(domainParts) (domain, error)) error {
	b, err := s.connect(ctx, svc)
	if err != nil {
		return err
	}
	registry, _, err := s.join(ctx, svc, nil)
	if err != nil {
		return err
	}
	db, err := restaurants.OpenDB(filepath.Join(domainDir(s.opts.Data, svc.Name()), svc.Name()+".db"))
	if err != nil {
		return err
	}
	svc.Defer("database", func(context.Context) error { return db.Close() })
	svc.Check("database", db.PingContext)
	d, err := open(domainParts{db, b, registry, otelbus.New(s.telemetry[svc.Name()].TracerProvider()).BeforePublish})
	if err != nil {
		return err
	}
	svc.Go("relay", d.Run)
	svc.Show("relay", func() any { return d.RelayStats() })
	if err := s.measureRelays(svc, func() []outbox.RelayStats { return []outbox.RelayStats{d.RelayStats()} }); err != nil {
		return err
	}
	answered := sqlidempotency.New(db, nil) // beside the resources, so that it is backed up with them
	if err := answered.Migrate(ctx); err != nil {
		return err
	}
	svc.Handle(service.Idempotent(answered, nil)(d.Handler()))
	return nil
}

// setUpOrders opens the orders service.
func (s *System) setUpOrders(ctx context.Context, svc *service.Service) error {
	return s.serveDomain(ctx, svc, func(p domainParts) (domain, error) {
		return orders.New(ctx, p.db, p.bus, &orders.Options{BaseURL: s.OrdersURL, BeforeAppend: p.before, Logger: svc.Logger()})
	})
}

// setUpRiders opens the riders service.
func (s *System) setUpRiders(ctx context.Context, svc *service.Service) error {
	return s.serveDomain(ctx, svc, func(p domainParts) (domain, error) {
		return riders.New(ctx, p.db, p.bus, &riders.Options{BaseURL: s.RidersURL, BeforeAppend: p.before, Logger: svc.Logger()})
	})
}
