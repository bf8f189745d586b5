package system

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/reference-services/door"
)

// startDoor starts the thin API: what clients call, by rules that are
// configuration, at whichever instance of a service is fit.
func (s *System) startDoor(ctx context.Context, l net.Listener, opts Options) error {
	log := s.log.With("service", "door")
	client, err := configsvc.NewClient(s.KernelURL+"config", &configsvc.ClientOptions{
		Bus: s.Bus, Service: "door", Instance: "1", Poll: 10 * time.Second,
		Dir: filepath.Join(kernelDir(opts.Data), "last-good"), Logger: log.With("part", "config"),
	})
	if err != nil {
		return err
	}
	s.started("door's configuration", client.Close)
	d, err := door.New(ctx, s.discovered(&http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectWithin}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
	}, nil), client, &door.Options{Logger: log})
	if err != nil {
		return err
	}
	s.started("door", d.Close)
	server := serve("door", l, d, s.log)
	s.started("door's server", server.shutdown)
	s.DoorURL = baseURL(l) + "/"
	s.door.Store(d)
	return s.register(ctx, "door", s.DoorURL)
}

// rules are those that the door uses now; nil while it hasn't opened.
func (s *System) rules() *rules.Engine {
	if d := s.door.Load(); d != nil {
		return d.Engine()
	}
	return nil
}
