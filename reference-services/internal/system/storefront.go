package system

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/hal/explorer"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/service"
)

// Bounds on how long the storefront waits for an owner that doesn't answer at
// all. They are below the patience of a page, so that it is still made, of
// what may be served without the owner.
const (
	answerWithin  = 800 * time.Millisecond
	connectWithin = 400 * time.Millisecond
)

// setUpStorefront opens the edge service, with its first page warm if the owner
// answers. It starts without the owner too.
func (s *System) setUpStorefront(ctx context.Context, svc *service.Service) error {
	b, err := s.connect(ctx, svc)
	if err != nil {
		return err
	}
	registry, _, err := s.join(ctx, svc, nil)
	if err != nil {
		return err
	}
	settings, err := s.storefrontSettings(ctx, svc, b)
	if err != nil {
		return err
	}
	client, err := resn.NewClient(b, &resn.ClientOptions{
		// The cache keeps what is at the owner's public origin, whichever
		// instance has answered.
		Transport: s.discovered(svc, registry, transport(answerWithin),
			map[string]string{strings.TrimSuffix(s.RestaurantsURL, "/"): "restaurants"}),
		Guard:  &resn.GuardOptions{Retries: 1},
		Logger: svc.Logger(),
	})
	if err != nil {
		return err
	}
	svc.Defer("client", client.Close)
	svc.Show("topics", func() any { return client.Topics() })
	if err := s.measureClient(svc, client); err != nil {
		return err
	}
	svc.Show("cache", func() any { return client.Cache().Stats() })
	options := storefront.Options{Geohash: s.opts.Geohash, Settings: settings, Logger: svc.Logger()}
	if s.opts.Explorer {
		options.Browse = "/explorer/#"
	}
	front := storefront.New(s.RestaurantsURL, client, &options)
	if page := front.Warm(ctx); page.Degraded() {
		svc.Logger().WarnContext(ctx, "the restaurants service doesn't answer yet", "url", s.RestaurantsURL, "error", page.Err)
	} else {
		waitLive(ctx, client)
		front.Warm(ctx) // what was read before the topic was live is vouched for from now on
	}
	svc.Handle(front)
	if s.opts.Explorer {
		svc.Handle(s.explorer(front, client))
	}
	return ctx.Err()
}

// storefrontSettings watches the storefront's configuration. Nothing has to be
// written for it to be whole: settings have defaults.
func (s *System) storefrontSettings(ctx context.Context, svc *service.Service, b *bus.Bus) (func() storefront.Settings, error) {
	if s.KernelURL == "" {
		return nil, nil //nolint:nilnil // without a kernel the options hold
	}
	client, err := s.configuration(svc, b)
	if err != nil {
		return nil, err
	}
	w, err := configsvc.Watch[storefront.Settings](ctx, client, "base", "storefront")
	if err != nil {
		return nil, err
	}
	return func() storefront.Settings {
		now := *w.Get()
		if now.Geohash == "" {
			now.Geohash = s.opts.Geohash
		}
		return now
	}, nil
}

// explorer puts a page beside the storefront on which a person browses both
// services, through the storefront's own cache.
func (s *System) explorer(front http.Handler, client *resn.Client) http.Handler {
	s.ExplorerURL = s.StorefrontURL + "explorer/"
	page := explorer.New(&explorer.Options{
		Start: s.RestaurantsURL, Title: "Swale", Transport: client.Cache(),
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/explorer/") {
			page.ServeHTTP(w, r)
			return
		}
		front.ServeHTTP(w, r)
	})
}

// waitLive waits a little until the owner's watermarks arrive. Without them
// the storefront works too, by max-age.
func waitLive(ctx context.Context, client *resn.Client) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, t := range client.Topics() {
			if t.Live {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
