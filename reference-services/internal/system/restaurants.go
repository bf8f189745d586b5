package system

import (
	"context"
	"strings"

	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/service"
)

// setUpRestaurants opens the restaurants service, filled if it is empty or a file is
// to be imported.
func (s *System) setUpRestaurants(ctx context.Context, svc *service.Service) error {
	base := strings.TrimSuffix(s.RestaurantsURL, "/")
	s.RestaurantsURL = base + "/"
	return s.serveDomain(ctx, svc, func(p domainParts) (domain, error) {
		owner, err := restaurants.New(ctx, p.db, p.bus, &restaurants.Options{BaseURL: base, BeforeAppend: p.before, Logger: svc.Logger()})
		if err != nil {
			return nil, err
		}
		return owner, s.fill(ctx, owner)
	})
}
