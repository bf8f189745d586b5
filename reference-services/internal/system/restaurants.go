package system

import (
	"context"
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
	s.run(ctx, "restaurants' relay", service.Run)
	server := serve("restaurants", l, service.Handler(), s.log)
	s.started("restaurants", server.shutdown)
	s.RestaurantsURL = base + "/"
	return s.register(ctx, "restaurants", baseURL(l)+"/")
}
