package system

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/reference-services/kernel"
	"github.com/goswale/swale/reference-services/storefront"
)

func kernelDir(data string) string { return filepath.Join(data, "kernel") }

// startKernel starts discovery, configuration and login on one port.
func (s *System) startKernel(ctx context.Context, l net.Listener, opts Options) error {
	store, err := s.dialRegistry(ctx)
	if err != nil {
		return err
	}
	k, err := kernel.New(ctx, s.Bus, &kernel.Options{
		BaseURL: baseURL(l), Dir: kernelDir(opts.Data), Registry: store, Rules: s.rules, Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.started("kernel", k.Close)
	s.run(ctx, "kernel's relay", k.Run)
	server := serve("kernel", l, k.Handler(), s.log)
	s.started("kernel's server", server.shutdown)
	s.KernelURL = baseURL(l) + "/"
	s.openRegistry(store)
	s.checkInstances()
	return nil
}

// joinRegistry opens the registry that the kernel of another process serves.
func (s *System) joinRegistry(ctx context.Context) error {
	store, err := s.dialRegistry(ctx)
	if err == nil {
		s.openRegistry(store)
	}
	return err
}

// dialRegistry connects to the registry, which is kept by the bus.
func (s *System) dialRegistry(ctx context.Context) (driver.Driver, error) {
	store, err := natsdiscovery.Dial(ctx, s.NATSURL, &natsdiscovery.Options{Conn: []nats.Option{nats.Name("swale registry")}})
	if err == nil {
		s.started("connection to the registry", store.Close)
	}
	return store, err
}

// openRegistry opens this process's own view of the registry.
func (s *System) openRegistry(store driver.Driver) {
	s.registry = discovery.New(shared{store}, &discovery.Options{Logger: s.log.With("part", "discovery")})
	s.started("registry", s.registry.Shutdown)
}

// checkInstances asks all instances whether they are there, until the system
// stops.
func (s *System) checkInstances() {
	s.run(context.Background(), "checks of instances", discovery.NewChecker(s.registry, nil).Run)
}

// shared is a driver that somebody else closes.
type shared struct{ driver.Driver }

func (shared) Close(context.Context) error { return nil }

// register enters an instance into the registry, for as long as it runs. It is
// left before the server stops to take requests.
func (s *System) register(ctx context.Context, service, url string) error {
	if s.registry == nil {
		return nil
	}
	reg, err := s.registry.Register(ctx, discovery.Instance{
		Service: service, Version: "1", Zone: "local",
		Endpoints:  []discovery.Endpoint{{Scheme: "http", Address: strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")}},
		Attributes: map[string]string{"url": url},
	}, nil)
	if err != nil {
		return err
	}
	s.started("registration of "+service, reg.Deregister)
	return nil
}

// discovered returns a transport that sends what is for a service's public
// origin to one of its instances.
func (s *System) discovered(next http.RoundTripper, origins map[string]string) http.RoundTripper {
	if s.KernelURL == "" {
		return next
	}
	table := binding.NewTable(discoverysvc.DialBindings(strings.TrimSuffix(s.KernelURL, "/")+"/discovery", nil), nil)
	s.started("bindings", table.Close)
	resolver := discovery.NewResolver(s.registry, &discovery.ResolverOptions{Zone: "local", Schemes: []string{"http"}})
	s.started("resolver", resolver.Shutdown)
	return discovery.NewTransport(next, resolver, &discovery.TransportOptions{
		Origins: origins, Splitter: table, Ready: answerWithin,
	})
}

// storefrontSettings watches the storefront's configuration. Nothing has to be
// written for it to be whole: settings have defaults.
func (s *System) storefrontSettings(ctx context.Context, opts Options) (func() storefront.Settings, error) {
	if s.KernelURL == "" {
		return nil, nil //nolint:nilnil // without a kernel the options hold
	}
	client, err := configsvc.NewClient(s.KernelURL+"config", &configsvc.ClientOptions{
		Bus: s.Bus, Service: "storefront", Instance: "1", Poll: 10 * time.Second,
		Dir: filepath.Join(kernelDir(opts.Data), "last-good"), Logger: s.log.With("service", "storefront", "part", "config"),
	})
	if err != nil {
		return nil, err
	}
	s.started("storefront's configuration", client.Close)
	w, err := configsvc.Watch[storefront.Settings](ctx, client, "base", "storefront")
	if err != nil {
		return nil, err
	}
	return func() storefront.Settings {
		now := *w.Get()
		if now.Geohash == "" {
			now.Geohash = opts.Geohash
		}
		return now
	}, nil
}
