package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/reference-services/door"
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

	// Register enters the services of this process into the registry on the bus,
	// for those that run elsewhere. With Kernel they always are.
	Register bool

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

	// Logger is used by everything. Default: nothing is logged.
	Logger *slog.Logger
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
	KernelURL      string // empty if there is none
	DoorURL        string // empty if there is none
	NATSURL        string
	Bus            *bus.Bus
	Embedded       bool // the bus runs in this process
	Seeded         int  // restaurants generated at this start
	Restaurants    int  // in the database; 0 if the service was left out
	Imported       Import

	// down are the parts to stop, in the order in which they were started.
	down []part
	log  *slog.Logger

	registry *discovery.Registry // nil without a kernel
	door     atomic.Pointer[door.Door]
}

type part struct {
	name string
	stop func(context.Context) error
}

// Start starts what the options ask for, and returns when it is ready. If that
// fails, what was started is stopped again.
func Start(ctx context.Context, opts Options) (_ *System, err error) {
	s := &System{log: opts.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.City == 0 {
		opts.City = 500
	}
	if opts.RestaurantsListen == "" {
		opts.RestaurantsListen = after(opts.Listen, 1)
	}
	if opts.NATSListen == "" {
		opts.NATSListen = after(opts.Listen, 2)
	}
	if opts.KernelListen == "" {
		opts.KernelListen = after(opts.Listen, 3)
	}
	if opts.DoorListen == "" {
		opts.DoorListen = after(opts.Listen, 4)
	}
	defer func() {
		if err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err = errors.Join(err, s.Shutdown(end))
		}
	}()

	// What can be refused at once comes first: the file, the directory, the ports.
	if opts.File != "" {
		if _, err := os.Stat(opts.File); err != nil {
			return nil, fmt.Errorf("the restaurants to import: %w", err)
		}
	}
	if err := s.lock(opts); err != nil {
		return nil, err
	}
	ports, err := s.listen(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := s.startBus(ctx, opts); err != nil {
		return nil, err
	}
	if opts.Kernel {
		if err := s.startKernel(ctx, ports.kernel, opts); err != nil {
			return nil, fmt.Errorf("kernel: %w", err)
		}
	}
	if opts.Register && !opts.Kernel {
		if err := s.joinRegistry(ctx); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	s.RestaurantsURL = opts.Service
	if s.RestaurantsURL == "" {
		s.RestaurantsURL = "http://" + opts.RestaurantsListen + "/"
	}
	if !opts.NoRestaurants {
		if err := s.startRestaurants(ctx, ports.restaurants, opts); err != nil {
			return nil, fmt.Errorf("restaurants: %w", err)
		}
	}
	if !opts.NoStorefront {
		if err := s.startStorefront(ctx, ports.storefront, opts); err != nil {
			return nil, fmt.Errorf("storefront: %w", err)
		}
	}
	if opts.Kernel {
		if err := s.startDoor(ctx, ports.door, opts); err != nil {
			return nil, fmt.Errorf("door: %w", err)
		}
	}
	return s, nil
}

// Shutdown stops everything, last started first: the storefront finishes what
// it was asked for while the restaurants service still answers, that one while
// the bus still carries its last notices. It returns what didn't end in time.
// Calling it again does nothing.
func (s *System) Shutdown(ctx context.Context) error {
	var errs []error
	for len(s.down) > 0 {
		p := s.down[len(s.down)-1]
		s.down = s.down[:len(s.down)-1]
		began := time.Now()
		err := p.stop(ctx)
		s.log.Debug("stopped", "part", p.name, "took", time.Since(began), "error", err)
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *System) started(name string, stop func(context.Context) error) {
	s.down = append(s.down, part{name, stop})
}

// run runs a part in the background until the system stops. What it returns when
// it is asked to end counts as a failure of stopping it, unless it is that.
func (s *System) run(ctx context.Context, name string, part func(context.Context) error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- part(running) }()
	s.started(name, func(ctx context.Context) error {
		stop()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-ctx.Done():
			return fmt.Errorf("it still works: %w", ctx.Err())
		}
	})
}

// lock locks the directories of the parts that keep something, each its own:
// services that run in processes of their own may share Data.
func (s *System) lock(opts Options) error {
	var dirs []string
	if opts.NATS == "" {
		dirs = append(dirs, busDir(opts.Data))
	}
	if !opts.NoRestaurants {
		dirs = append(dirs, restaurantsDir(opts.Data))
	}
	if opts.Kernel {
		dirs = append(dirs, kernelDir(opts.Data))
	}
	for _, dir := range dirs {
		l, err := lockDir(dir)
		if err != nil {
			return err
		}
		s.started("lock of "+dir, func(context.Context) error { return l.release() })
	}
	return nil
}

func busDir(data string) string         { return filepath.Join(data, "nats") }
func restaurantsDir(data string) string { return filepath.Join(data, "restaurants") }

// ports are the listeners of the services, nil for what is left out.
type ports struct{ storefront, restaurants, kernel, door net.Listener }

func (s *System) listen(ctx context.Context, opts Options) (p ports, err error) {
	open := func(address, flag string) net.Listener {
		if err != nil {
			return nil
		}
		var l net.Listener
		if l, err = listen(ctx, address, flag); err != nil {
			return nil
		}
		// The server closes it first, usually.
		s.started("port "+l.Addr().String(), func(context.Context) error {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
		return l
	}
	if !opts.NoStorefront {
		p.storefront = open(opts.Listen, "listen")
	}
	if !opts.NoRestaurants {
		p.restaurants = open(opts.RestaurantsListen, "restaurants-listen")
	}
	if opts.Kernel {
		p.kernel = open(opts.KernelListen, "kernel-listen")
		p.door = open(opts.DoorListen, "door-listen")
	}
	return p, err
}
