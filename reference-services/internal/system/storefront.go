package system

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/goswale/swale/hal/explorer"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
)

// Bounds on how long the storefront waits for an owner that doesn't answer at
// all. They are below the patience of a page, so that it is still made, of
// what may be served without the owner.
const (
	answerWithin  = 800 * time.Millisecond
	connectWithin = 400 * time.Millisecond
)

// startStorefront starts the edge service, with its first page warm if the
// owner answers. It starts without the owner too.
func (s *System) startStorefront(ctx context.Context, l net.Listener, opts Options) error {
	log := s.log.With("service", "storefront")
	settings, err := s.storefrontSettings(ctx, opts)
	if err != nil {
		return err
	}
	client, err := resn.NewClient(s.Bus, &resn.ClientOptions{
		// The cache keeps what is at the owner's public origin, whichever
		// instance has answered.
		Transport: s.discovered(&http.Transport{
			DialContext:           (&net.Dialer{Timeout: connectWithin}).DialContext,
			ResponseHeaderTimeout: answerWithin,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
		}, map[string]string{strings.TrimSuffix(s.RestaurantsURL, "/"): "restaurants"}),
		Guard:  &resn.GuardOptions{Retries: 1},
		Logger: log,
	})
	if err != nil {
		return err
	}
	s.started("storefront's client", client.Close)
	front := storefront.New(s.RestaurantsURL, client, &storefront.Options{Geohash: opts.Geohash, Settings: settings, Logger: log})
	if page := front.Warm(ctx); page.Degraded() {
		log.WarnContext(ctx, "the restaurants service doesn't answer yet", "url", s.RestaurantsURL, "error", page.Err)
	} else {
		waitLive(ctx, client)
		front.Warm(ctx) // what was read before the topic was live is vouched for from now on
	}
	var handler http.Handler = front
	if opts.Explorer {
		handler = s.explorer(l, front, client)
	}
	server := serve("storefront", l, handler, s.log)
	s.started("storefront", server.shutdown)
	s.StorefrontURL = baseURL(l) + "/"
	if err := s.register(ctx, "storefront", s.StorefrontURL); err != nil {
		return err
	}
	return ctx.Err()
}

// explorer puts a page beside the storefront on which a person browses both
// services, through the storefront's own cache.
func (s *System) explorer(l net.Listener, front http.Handler, client *resn.Client) http.Handler {
	s.ExplorerURL = baseURL(l) + "/explorer/"
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
