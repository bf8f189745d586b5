package system

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/reference-services/console"
	"github.com/goswale/swale/reference-services/kernel"
	"github.com/goswale/swale/service"
)

// setUpKernel opens discovery, configuration and login on one port.
func (s *System) setUpKernel(ctx context.Context, svc *service.Service) error {
	b, err := s.connect(ctx, svc)
	if err != nil {
		return err
	}
	registry, store, err := s.join(ctx, svc, map[string]string{discovery.HealthPath: "/"})
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(s.KernelURL, "/")
	table := binding.NewTable(discoverysvc.DialBindings(base+"/discovery", nil), nil)
	svc.Defer("bindings", table.Close)
	page := console.New(registry, b, &console.Options{
		Title: "Swale", Bindings: table.InUse, Links: s.pages(), Logger: svc.Logger().With("part", "console"),
	})
	k, err := kernel.New(ctx, b, &kernel.Options{
		BaseURL: base, Dir: kernelDir(s.opts.Data),
		Registry: store, Rules: s.rules, Console: page, Logger: svc.Logger(),
	})
	if err != nil {
		return err
	}
	svc.Defer("kernel", k.Close)
	svc.Go("console", page.Run)
	svc.Check("databases", k.Ping)
	svc.Go("relays and keys", k.Run)
	if err := s.measureRelays(svc, k.RelayStats); err != nil {
		return err
	}
	svc.Go("checks of instances", discovery.NewChecker(registry, nil).Run)
	svc.Handle(streams(k.Handler()))
	return nil
}

// pages are those of this process that people open.
func (s *System) pages() []console.Link {
	links := []console.Link{
		{Title: "Rules", URL: s.KernelURL + "rules/"}, {Title: "Configuration", URL: s.KernelURL + "config/page/"},
		{Title: "Sign in", URL: s.KernelURL + "login/signin"}, {Title: "Door", URL: s.url("door")},
	}
	if s.opts.Delivery {
		links = append(links, console.Link{Title: "Live Operations", URL: s.url("liveops") + "live/"})
	}
	if !s.opts.NoStorefront {
		links = append(links, console.Link{Title: "Storefront", URL: s.url("storefront")})
		if s.opts.Explorer {
			links = append(links, console.Link{Title: "Explorer", URL: s.url("storefront") + "explorer/"})
		}
	}
	return links
}

// discovered returns a transport that sends what is for a service's public
// origin to one of its instances.
func (s *System) discovered(svc *service.Service, registry *discovery.Registry, next http.RoundTripper, origins map[string]string) http.RoundTripper {
	next = service.PassDeadline(next)
	t := s.telemetry[svc.Name()]
	if s.KernelURL == "" {
		return t.Transport(next)
	}
	table := binding.NewTable(discoverysvc.DialBindings(s.KernelURL+"discovery", nil), nil)
	svc.Defer("bindings", table.Close)
	resolver := discovery.NewResolver(registry, &discovery.ResolverOptions{Zone: s.opts.Environment.Zone, Schemes: []string{"http"}})
	svc.Defer("resolver", resolver.Shutdown)
	return t.Transport(discovery.NewTransport(next, resolver, &discovery.TransportOptions{
		Origins: origins, Splitter: table, Ready: answerWithin,
	}))
}

// configuration opens a service's client of the configuration.
func (s *System) configuration(svc *service.Service, b *bus.Bus) (*configsvc.Client, error) {
	client, err := configsvc.NewClient(s.KernelURL+"config", &configsvc.ClientOptions{
		Bus: b, Service: svc.Name(), Instance: svc.Instance(), Poll: 10 * time.Second,
		Dir: filepath.Join(kernelDir(s.opts.Data), "last-good"), Logger: svc.Logger().With("part", "config"),
	})
	if err == nil {
		svc.Defer("configuration", client.Close)
	}
	return client, err
}
