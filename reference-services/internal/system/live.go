package system

import (
	"context"
	"net/http"
	"strings"

	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/reference-services/liveops/dashboard"
	"github.com/goswale/swale/reference-services/riders"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/service"
)

// live is the service of live issues with its page beside it.
type live struct {
	*liveops.Service
	page http.Handler
}

// Handler serves both.
func (l live) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/live/", l.page)
	mux.Handle("/live/changes", service.Stream(l.page)) // for as long as a page listens
	mux.Handle("/", l.Service.Handler())
	return mux
}

// setUpLive opens live operations: a client of orders and riders, the rules, which
// are configuration, and the page.
func (s *System) setUpLive(ctx context.Context, svc *service.Service) error {
	return s.serveDomain(ctx, svc, func(p domainParts) (domain, error) {
		client, err := resn.NewClient(p.bus, &resn.ClientOptions{
			Transport: s.discovered(svc, p.registry, transport(answerWithin), map[string]string{
				strings.TrimSuffix(s.OrdersURL, "/"): "orders", strings.TrimSuffix(s.RidersURL, "/"): "riders",
			}),
			Guard: &resn.GuardOptions{Retries: 1}, Logger: svc.Logger(),
		})
		if err != nil {
			return nil, err
		}
		svc.Defer("client", client.Close)
		svc.Show("topics", func() any { return client.Topics() })
		svc.Show("cache", func() any { return client.Cache().Stats() })
		if err := s.measureClient(svc, client); err != nil {
			return nil, err
		}
		owner, err := liveops.New(ctx, p.db, p.bus, client, &liveops.Options{
			BaseURL: s.LiveURL, Orders: s.OrdersURL, Riders: s.RidersURL, BeforeAppend: p.before, Logger: svc.Logger(),
		})
		if err != nil {
			return nil, err
		}
		svc.Show("consumers", func() any { return owner.Consumers() })
		rules, err := s.liveRules(ctx, svc, p, owner)
		if err != nil {
			return nil, err
		}
		svc.Show("rules", rules)
		page, err := s.livePage(ctx, svc, p, client)
		return live{owner, page}, err
	})
}

// liveRules watches the rules, and returns what says whether the newest are in use.
func (s *System) liveRules(ctx context.Context, svc *service.Service, p domainParts, owner *liveops.Service) (func() any, error) {
	if s.KernelURL == "" {
		return func() any { return nil }, owner.Load([]byte(liveops.Default))
	}
	client, err := s.configuration(svc, p.bus)
	if err != nil {
		return nil, err
	}
	w, err := liveops.Watch(ctx, client, owner)
	if err != nil {
		return nil, err
	}
	svc.Defer("rules", func(context.Context) error {
		w.Close()
		return nil
	})
	return func() any { return rejection(w.Rejected()) }, nil
}

// livePage opens the page, which follows where riders are.
func (s *System) livePage(ctx context.Context, svc *service.Service, p domainParts, client *resn.Client) (http.Handler, error) {
	options := dashboard.Options{Root: s.LiveURL, Links: s.besideLive(), Logger: svc.Logger()}
	if s.opts.Explorer && !s.opts.NoStorefront {
		options.Browse = s.url("storefront") + "explorer/#"
	}
	page, err := dashboard.Open(ctx, p.bus, client, &options)
	if err != nil {
		return nil, err
	}
	svc.Defer("page", page.Shutdown)
	positions, err := riders.Positions(ctx, p.bus)
	if err != nil {
		return nil, err
	}
	follows, err := page.Follow(ctx, positions)
	if err != nil {
		return nil, err
	}
	svc.Defer("positions", follows.Close)
	svc.Show("page", func() any { return page.Stats() })
	return page, nil
}

// besideLive are the pages that it leads to.
func (s *System) besideLive() []dashboard.Link {
	var links []dashboard.Link
	if s.KernelURL != "" {
		links = append(links, dashboard.Link{Title: "Console", URL: s.KernelURL + "console/"}, dashboard.Link{Title: "Rules", URL: s.KernelURL + "config/page/#key=" + liveops.Key})
	}
	if !s.opts.NoStorefront {
		links = append(links, dashboard.Link{Title: "Storefront", URL: s.url("storefront")})
	}
	return links
}

// rejection says why the newest rules aren't in use; nothing if they are.
func rejection(err error) map[string]string {
	why := ""
	if err != nil {
		why = err.Error()
	}
	return map[string]string{"rejected": why}
}
