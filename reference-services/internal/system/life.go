package system

import (
	"context"
	"errors"

	"github.com/goswale/swale/reference-services/internal/life"
)

// live has the city live, until the function that it returns is called. It is a
// client of the services like any other, so it is no part of what makes them ready.
func (s *System) live(ctx context.Context) (func() error, error) {
	b, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	city := life.New(b, &life.Options{
		Restaurants: s.RestaurantsURL, Orders: s.OrdersURL, Riders: s.RidersURL,
		PerMinute: s.opts.Orders, Seed: citySeed,
		Transport: transport(answerWithin), Logger: s.log.With("part", "life"),
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- city.Run(ctx) }()
	return func() error {
		stop()
		return errors.Join(<-ended, b.Shutdown(context.WithoutCancel(ctx)))
	}, nil
}
