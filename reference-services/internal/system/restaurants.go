package system

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/goswale/swale/reference-services/restaurants"
)

// startRestaurants starts the domain service: its database, filled if it is
// empty or a file is to be imported, its relay and its server.
func (s *System) startRestaurants(ctx context.Context, l net.Listener, opts Options) error {
	db, err := restaurants.OpenDB(filepath.Join(restaurantsDir(opts.Data), "restaurants.db"))
	if err != nil {
		return err
	}
	s.started("restaurants' database", func(context.Context) error { return db.Close() })
	base := opts.RestaurantsURL
	if base == "" {
		base = baseURL(l)
	}
	base = strings.TrimSuffix(base, "/")
	log := s.log.With("service", "restaurants")
	service, err := restaurants.New(ctx, db, s.Bus, &restaurants.Options{BaseURL: base, Logger: log})
	if err != nil {
		return err
	}
	if err := s.fill(ctx, service, opts); err != nil {
		return err
	}
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- service.Run(relaying) }()
	s.started("restaurants' relay", func(ctx context.Context) error {
		stop()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return fmt.Errorf("it still publishes: %w", ctx.Err())
		}
	})
	server := serve("restaurants", l, service.Handler(), s.log)
	s.started("restaurants", server.shutdown)
	s.RestaurantsURL = base + "/"
	return nil
}
