package system

import (
	"context"

	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/reference-services/door"
	"github.com/goswale/swale/service"
)

// setUpDoor opens the thin API: what clients call, by rules that are
// configuration, at whichever instance of a service is fit.
func (s *System) setUpDoor(ctx context.Context, svc *service.Service) error {
	b, err := s.connect(ctx, svc)
	if err != nil {
		return err
	}
	registry, _, err := s.join(ctx, svc, nil)
	if err != nil {
		return err
	}
	client, err := s.configuration(svc, b)
	if err != nil {
		return err
	}
	d, err := door.New(ctx, s.discovered(svc, registry, transport(0), nil), client, &door.Options{Logger: svc.Logger()})
	if err != nil {
		return err
	}
	svc.Defer("door", d.Close)
	svc.Show("rules", func() any { return rejection(d.Rejected()) })
	s.door.Store(d)
	svc.Handle(streams(d))
	return nil
}

// rules are those that the door uses now; nil while it hasn't opened.
func (s *System) rules() *rules.Engine {
	if d := s.door.Load(); d != nil {
		return d.Engine()
	}
	return nil
}
