package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/goswale/swale/reference-services/door"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/otelservice"
)

// Options say which parts run, and where.
type Options struct {
	// Data is the directory in which everything is kept.
	Data string
	// Listen is the address of the storefront. The restaurants service and the
	// embedded bus take the two ports after it, unless they are told otherwise;
	// after port 0, any free ones.
	Listen            string
	RestaurantsListen string
	NATSListen        string
	// AdminListen is the address of the storefront's admin port; the others'
	// follow at the distance of their own ports. Of a service that runs alone it is
	// its own. "off" is none. Default: on the loopback interface, ten ports after
	// each service's own.
	AdminListen string
	// NATS is the URL of a bus that runs elsewhere. Default: one is embedded.
	NATS string
	// RestaurantsURL is how others reach the restaurants service: the base of
	// its notices. Default: where it listens.
	RestaurantsURL string
	// Service is the root of a restaurants service that runs elsewhere, for a
	// storefront alone. Default: at RestaurantsListen.
	Service string

	// Kernel adds discovery, configuration and login. KernelListen is their
	// address. Default: three ports after Listen.
	Kernel       bool
	KernelListen string
	// DoorListen is the address of the thin API, which there is with a kernel.
	// Default: four ports after Listen.
	DoorListen string

	// Delivery adds orders, riders and live operations. OrdersListen, RidersListen and
	// LiveListen are their addresses. Default: five, six and seven ports after Listen.
	Delivery                               bool
	OrdersListen, RidersListen, LiveListen string
	// Orders is how many orders a minute are placed, and looked after, by a city that
	// lives by itself. Default 0: whatever happens, somebody else does.
	Orders float64

	// NoStorefront and NoRestaurants leave that service out.
	NoStorefront, NoRestaurants bool

	// File is imported into the database before anything is served.
	File string
	// City is how many restaurants are generated when the database is empty.
	// Default 500, negative for none.
	City int
	// Imported hears how an import goes.
	Imported func(Import)

	// Explorer serves a page at /explorer/ of the storefront that calls the
	// restaurants service for whoever opens it: for a developer's own machine.
	Explorer bool

	// Geohash is what a visitor of the storefront sees who asks for no place.
	Geohash string

	// Environment is what each service has for its own besides its ports. Instance
	// and Advertise are for one that runs alone.
	Environment service.Environment

	// Traces gives each service, by its name, what records its spans. Default:
	// nothing is recorded, and log lines have the trace that they belong to.
	Traces func(service string) trace.TracerProvider

	// Logger is used by everything, LogLevel is its level, which the admin ports
	// can change. Default: nothing is logged.
	Logger   *slog.Logger
	LogLevel *slog.LevelVar
}

// Import says how far an import is.
type Import struct {
	Good, Bad int
	// Line and Reason name the latest bad line; 0 if this is about good ones.
	Line   int
	Reason string
	// Done and Size are in bytes of the file.
	Done, Size int64
}

// System is a set of services that run in this process.
type System struct {
	StorefrontURL  string // empty if left out
	ExplorerURL    string // empty if there is none
	RestaurantsURL string
	OrdersURL      string // empty if there are none, as the next two
	RidersURL      string
	LiveURL        string
	KernelURL      string // empty if there is none
	DoorURL        string // empty if there is none
	NATSURL        string
	Admin          []Admin
	Embedded       bool // the bus runs in this process
	Seeded         int  // restaurants generated at this start
	Restaurants    int  // in the database; 0 if the service was left out
	Imported       Import

	opts      Options
	log       *slog.Logger
	ports     map[string]ports
	inside    []nats.Option                     // of connections to an embedded bus
	services  []*service.Service                // in the order of their start
	telemetry map[string]*otelservice.Telemetry // of each service, by its name
	held      []func() error                    // by the process, in the order in which it was taken
	door      atomic.Pointer[door.Door]
	quiet     func() error // ends the city's life; nil if it has none

	ended chan struct{} // one of the services has ended
	once  sync.Once
	wg    sync.WaitGroup
}

// Admin is the admin port of a service.
type Admin struct{ Service, URL string }

// Start starts what the options ask for, and returns when it is ready. If that
// fails, what was started is stopped again.
func Start(ctx context.Context, opts Options) (_ *System, err error) {
	s := &System{log: opts.Logger, ended: make(chan struct{}), telemetry: make(map[string]*otelservice.Telemetry)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.City == 0 {
		opts.City = 500
	}
	for i, listen := range []*string{
		&opts.RestaurantsListen, &opts.NATSListen, &opts.KernelListen, &opts.DoorListen, &opts.OrdersListen, &opts.RidersListen, &opts.LiveListen,
	} {
		if *listen == "" {
			*listen = after(opts.Listen, i+1)
		}
	}
	s.opts = opts
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()

	// What can be refused at once comes first: the file, the directory, the ports.
	if opts.File != "" {
		if _, err := os.Stat(opts.File); err != nil {
			return nil, fmt.Errorf("the restaurants to import: %w", err)
		}
	}
	if err := s.lock(); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.startBus(ctx); err != nil {
		return nil, err
	}
	if opts.Kernel {
		s.KernelURL = s.url("kernel")
		if err := s.start(ctx, "kernel", s.setUpKernel); err != nil {
			return nil, err
		}
	}
	if !opts.NoRestaurants {
		if s.RestaurantsURL = opts.RestaurantsURL; s.RestaurantsURL == "" {
			s.RestaurantsURL = s.url("restaurants")
		}
		if err := s.start(ctx, "restaurants", s.setUpRestaurants); err != nil {
			return nil, err
		}
	} else if s.RestaurantsURL = opts.Service; s.RestaurantsURL == "" {
		s.RestaurantsURL = "http://" + opts.RestaurantsListen + "/"
	}
	if opts.Delivery {
		s.OrdersURL, s.RidersURL, s.LiveURL = s.url("orders"), s.url("riders"), s.url("liveops")
		if err := s.start(ctx, "orders", s.setUpOrders); err != nil {
			return nil, err
		}
		if err := s.start(ctx, "riders", s.setUpRiders); err != nil {
			return nil, err
		}
		if err := s.start(ctx, "liveops", s.setUpLive); err != nil {
			return nil, err
		}
	}
	if !opts.NoStorefront {
		s.StorefrontURL = s.url("storefront")
		if err := s.start(ctx, "storefront", s.setUpStorefront); err != nil {
			return nil, err
		}
	}
	if opts.Kernel {
		s.DoorURL = s.url("door")
		if err := s.start(ctx, "door", s.setUpDoor); err != nil {
			return nil, err
		}
	}
	if opts.Delivery && opts.Orders > 0 {
		if s.quiet, err = s.live(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Ended is closed when one of the services has ended: Stop then says why.
func (s *System) Ended() <-chan struct{} { return s.ended }

// Stop stops everything, last started first: the city comes to rest, the storefront
// finishes what it was asked for while the restaurants service still answers, that
// one while the bus still carries its last notices. It returns what went wrong, now or before.
// Calling it again does nothing.
func (s *System) Stop() error {
	var errs []error
	if s.quiet != nil {
		errs = append(errs, s.quiet())
		s.quiet = nil
	}
	for len(s.services) > 0 {
		last := s.services[len(s.services)-1]
		s.services = s.services[:len(s.services)-1]
		last.Stop(nil)
		if err := last.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", last.Name(), err))
		}
	}
	s.wg.Wait()
	for len(s.held) > 0 {
		errs = append(errs, s.held[len(s.held)-1]())
		s.held = s.held[:len(s.held)-1]
	}
	return errors.Join(errs...)
}

// lock locks the directories of the parts that keep something, each its own:
// services that run in processes of their own may share Data.
func (s *System) lock() error {
	var dirs []string
	if s.opts.NATS == "" {
		dirs = append(dirs, busDir(s.opts.Data))
	}
	if !s.opts.NoRestaurants {
		dirs = append(dirs, domainDir(s.opts.Data, "restaurants"))
	}
	if s.opts.Delivery {
		dirs = append(dirs, domainDir(s.opts.Data, "orders"), domainDir(s.opts.Data, "riders"), domainDir(s.opts.Data, "liveops"))
	}
	if s.opts.Kernel {
		dirs = append(dirs, kernelDir(s.opts.Data))
	}
	for _, dir := range dirs {
		l, err := lockDir(dir)
		if err != nil {
			return err
		}
		s.held = append(s.held, l.release)
	}
	return nil
}

func busDir(data string) string             { return filepath.Join(data, "nats") }
func domainDir(data, service string) string { return filepath.Join(data, service) }
func kernelDir(data string) string          { return filepath.Join(data, "kernel") }
