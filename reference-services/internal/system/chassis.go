package system

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/natsdiscovery"
	"github.com/goswale/swale/reference-services/console"
	"github.com/goswale/swale/service"
)

// version is that of all reference services, as the registry knows them.
const version = "1"

// maxBody bounds what a request may send, in bytes. Most services want less and
// say so; this is the configuration's.
const maxBody = 8 << 20

// start starts a service on the chassis, at its ports.
func (s *System) start(ctx context.Context, name string, setUp func(context.Context, *service.Service) error) error {
	p := s.ports[name]
	env := s.opts.Environment
	env.Listen, env.AdminListen = p.public.Addr().String(), "off"
	if env.DrainTimeout <= 0 {
		env.DrainTimeout = 15 * time.Second
	}
	if env.Advertise == "" && s.Embedded {
		env.Advertise = strings.TrimPrefix(baseURL(p.public), "http://") // everybody is on this machine
	}
	opts := service.Options{
		Name: name, Version: version, Environment: &env, Listener: p.public,
		Logger: s.log, LogLevel: s.opts.LogLevel, Setup: setUp,
		MaxBody: maxBody, Callers: service.CallerLimit{Key: caller},
	}
	if p.admin != nil {
		opts.AdminListener = p.admin
		s.Admin = append(s.Admin, Admin{name, baseURL(p.admin) + "/"})
	}
	if s.opts.File != "" {
		opts.StartTimeout = math.MaxInt64 // an import takes as long as its file is
	}
	if err := s.measure(name); err != nil {
		return err
	}
	running, err := service.Start(ctx, s.telemetry[name].Instrument(opts))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.services = append(s.services, running)
	s.wg.Go(func() {
		_ = running.Wait()
		s.once.Do(func() { close(s.ended) })
	})
	return nil
}

// caller names who is limited: not those on this machine, who all have one
// address, the other services among them.
func caller(r *http.Request) string {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && from.Addr().Unmap().IsLoopback() {
		return ""
	}
	return service.Caller(r)
}

// streams takes requests for event streams and other protocols out of the
// deadline that all others have.
func streams(next http.Handler) http.Handler {
	lasting := service.Stream(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") || r.Header.Get("Upgrade") != "" {
			lasting.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// join opens the service's own view of the registry, which the bus keeps, and has
// the service entered when it is ready. The driver is for who serves it on.
func (s *System) join(ctx context.Context, svc *service.Service, attributes map[string]string) (*discovery.Registry, driver.Driver, error) {
	store, err := natsdiscovery.Dial(ctx, s.NATSURL, &natsdiscovery.Options{Conn: append(s.inside, nats.Name("swale registry"))})
	if err != nil {
		return nil, nil, fmt.Errorf("open the registry on the bus at %s: %w", s.NATSURL, err)
	}
	registry := discovery.New(store, &discovery.Options{Logger: svc.Logger().With("part", "discovery")})
	svc.Defer("registry", registry.Shutdown)
	all := map[string]string{"url": s.url(svc.Name())}
	if admin := s.ports[svc.Name()].admin; admin != nil {
		all[console.AdminAttribute] = baseURL(admin) + "/"
	}
	maps.Copy(all, attributes)
	return registry, store, svc.Register(registry, &service.RegisterOptions{Attributes: all})
}

// transport is a transport to services that run elsewhere, which waits so long
// for an answer.
func transport(answer time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectWithin}).DialContext,
		ResponseHeaderTimeout: answer,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
	}
}
