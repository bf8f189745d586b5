package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/goswale/swale/reference-services/internal/system"
	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/service"
)

const upAbout = `Runs the whole reference system in this process: an embedded bus, the kernel
(discovery, configuration and login), the restaurants, orders and riders services
that own the data, live operations, which watch over the orders, the storefront that
shows restaurants, and the door in front of them. Everything is kept in one
directory, and a second start finds it again.`

func runUp(ctx context.Context, env environment, args []string) error {
	f := newFlags(env, "up", upAbout)
	opts, logs := &system.Options{Explorer: true, Kernel: true, Delivery: true, Environment: service.Environment{Zone: zone}}, &logFlags{}
	f.StringVar(&opts.Listen, "listen", "127.0.0.1:8080", "`address` of the storefront")
	dataFlag(f, opts)
	restaurantsFlags(f, opts, "the port after --listen")
	f.StringVar(&opts.NATSListen, "nats-listen", "", "`address` of the embedded bus; default: two ports after --listen")
	f.StringVar(&opts.KernelListen, "kernel-listen", "", "`address` of discovery, configuration and login; default: three ports after --listen")
	f.StringVar(&opts.DoorListen, "door-listen", "", "`address` of the door, which sends requests where rules say; default: four ports after --listen")
	f.StringVar(&opts.OrdersListen, "orders-listen", "", "`address` of the orders service; default: five ports after --listen")
	f.StringVar(&opts.RidersListen, "riders-listen", "", "`address` of the riders service; default: six ports after --listen")
	f.StringVar(&opts.LiveListen, "live-listen", "", "`address` of live operations; default: seven ports after --listen")
	f.Float64Var(&opts.Orders, "orders", 20, "`number` of orders a minute that the city places and looks after by itself; 0 for a quiet one")
	adminFlag(f, opts, "`address` of the storefront's admin port, the others' follow as their ports do, off for none; default: each ten ports after the service's")
	f.StringVar(&opts.NATS, "nats", "", "`url` of a NATS server with JetStream to use; default: one is embedded")
	f.StringVar(&opts.Geohash, "geohash", "", "the area, a `geohash`, that a visitor sees first; default: the first restaurants of all")
	logs.define(f)
	if err := f.parse(args); err != nil {
		return err
	}
	if err := checkOptions(opts); err != nil {
		return err
	}
	if !(opts.Orders >= 0 && opts.Orders <= mostOrders) {
		return fmt.Errorf("%w: --orders is %v; it must be from 0 to %d", errUsage, opts.Orders, mostOrders)
	}
	return serveUntilStopped(ctx, env, opts, logs)
}

// checkOptions refuses what the services could only fail at later.
func checkOptions(opts *system.Options) error {
	if opts.City < -1 {
		return fmt.Errorf("%w: --city is %d; it must be a number of restaurants, or -1 for none", errUsage, opts.City)
	}
	if err := (storefront.Settings{Geohash: opts.Geohash}).Validate(); err != nil {
		return fmt.Errorf("%w: --geohash: %w", errUsage, err)
	}
	return nil
}

// mostOrders a minute are what one machine's city is good for.
const mostOrders = 600

const restaurantsAbout = `Runs the restaurants service alone: the domain service that owns the data. Its
notices go over a bus that runs elsewhere.`

func runRestaurants(ctx context.Context, env environment, args []string) error {
	f := newFlags(env, "restaurants", restaurantsAbout)
	f.alone = true
	opts, logs := &system.Options{NoStorefront: true}, &logFlags{}
	f.StringVar(&opts.RestaurantsListen, "listen", "127.0.0.1:8081", "`address` to listen on")
	dataFlag(f, opts)
	restaurantsFlags(f, opts, "")
	adminFlag(f, opts, "`address` of the admin port, off for none; default: on this machine alone, ten ports after --listen")
	busFlag(f, opts)
	logs.define(f)
	if err := f.parse(args); err != nil {
		return err
	}
	if err := checkOptions(opts); err != nil {
		return err
	}
	if err := chassis(env, opts, logs); err != nil {
		return err
	}
	return serveUntilStopped(ctx, env, opts, logs)
}

const storefrontAbout = `Runs the storefront alone: the edge service that shows restaurants and owns
nothing. It hears of changes over a bus that runs elsewhere.`

func runStorefront(ctx context.Context, env environment, args []string) error {
	f := newFlags(env, "storefront", storefrontAbout)
	f.alone = true
	opts, logs := &system.Options{NoRestaurants: true}, &logFlags{}
	f.StringVar(&opts.Listen, "listen", "127.0.0.1:8080", "`address` to listen on")
	f.StringVar(&opts.Service, "restaurants-url", "http://127.0.0.1:8081/", "`url` of the restaurants service's root document")
	f.StringVar(&opts.Geohash, "geohash", "", "the area, a `geohash`, that a visitor sees first; default: the first restaurants of all")
	adminFlag(f, opts, "`address` of the admin port, off for none; default: on this machine alone, ten ports after --listen")
	busFlag(f, opts)
	logs.define(f)
	if err := f.parse(args); err != nil {
		return err
	}
	if err := checkOptions(opts); err != nil {
		return err
	}
	if err := chassis(env, opts, logs); err != nil {
		return err
	}
	return serveUntilStopped(ctx, env, opts, logs)
}

func dataFlag(f *flags, opts *system.Options) {
	f.StringVar(&opts.Data, "data", "swale-data", "`directory` in which everything is kept; one process at a time")
}

func busFlag(f *flags, opts *system.Options) {
	f.StringVar(&opts.NATS, "nats", "nats://127.0.0.1:8082", "`url` of a NATS server with JetStream, such as the one inside swale up")
}

func adminFlag(f *flags, opts *system.Options, about string) {
	f.StringVar(&opts.AdminListen, "admin-listen", "", about)
}

// zone is where all is that nobody said anything else about.
const zone = "local"

// chassisVariables are those that no flag stands for.
func chassisVariables() []string {
	return []string{"ADVERTISE", "INSTANCE", "ZONE", "REGION", "LOG_FORMAT", "DRAIN_DELAY", "DRAIN_TIMEOUT"}
}

// chassis reads what the environment says of a service that runs alone and no flag
// does: who it is, where, and how it drains.
func chassis(env environment, opts *system.Options, logs *logFlags) error {
	// The registry tells others of the end at once, so the delay needn't be long.
	variables := []string{"ZONE=" + zone, "LOG_FORMAT=text", "DRAIN_DELAY=500ms"}
	for _, name := range chassisVariables() {
		if value, ok := env.lookup(name); ok && value != "" {
			variables = append(variables, name+"="+value)
		}
	}
	var err error
	if opts.Environment, err = service.ReadEnvironment(variables); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	logs.json = logs.json || opts.Environment.LogFormat == "json"
	return nil
}

// restaurantsFlags are those about the restaurants service.
func restaurantsFlags(f *flags, opts *system.Options, after string) {
	if after != "" {
		f.StringVar(&opts.RestaurantsListen, "restaurants-listen", "", "`address` of the restaurants service; default: "+after)
		f.BoolVar(&opts.NoRestaurants, "without-restaurants", false, "leave the restaurants service out, to run it with swale restaurants")
	}
	f.StringVar(&opts.RestaurantsURL, "restaurants-url", "", "`url` under which others reach the restaurants service; default: where it listens")
	f.StringVar(&opts.File, "restaurants", "", "import the restaurants of this `file`, one JSON object a line")
	f.IntVar(&opts.City, "city", 500, "`number` of restaurants to generate if there are none yet; -1 for none")
}

// logFlags say what is logged and how.
type logFlags struct {
	level slog.LevelVar
	json  bool
}

func (l *logFlags) define(f *flags) {
	l.level.Set(slog.LevelWarn)
	f.TextVar(&l.level, "log-level", &l.level, "least `level` that is logged: debug, info, warn or error")
	f.BoolVar(&l.json, "log-json", false, "log as JSON")
}

func (l *logFlags) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: &l.level}
	if l.json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// serveUntilStopped runs the system until the program is asked to stop.
func serveUntilStopped(ctx context.Context, env environment, opts *system.Options, logs *logFlags) error {
	began := time.Now()
	opts.Logger, opts.LogLevel = logs.logger(env.stderr), &logs.level
	p := newProgress(env.stderr)
	bad := 0
	opts.Imported = func(i system.Import) {
		if i.Line > 0 {
			if bad++; bad <= badLinesShown {
				p.clear()
				fmt.Fprintf(env.stderr, "%s:%d: %s\n", opts.File, i.Line, i.Reason)
			}
			return
		}
		share := 0.0
		if i.Size > 0 {
			share = float64(i.Done) / float64(i.Size)
		}
		p.show(share, "importing %s: %d restaurants, %d bad lines", opts.File, i.Good, i.Bad)
	}
	s, err := system.Start(ctx, *opts)
	p.clear()
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop before it was ready, and has stopped
		}
		return err
	}
	if bad > badLinesShown {
		fmt.Fprintf(env.stderr, "%s: %d bad lines in all, of which the first %d are named above\n", opts.File, s.Imported.Bad, badLinesShown)
	}
	announce(env.stdout, s, opts, time.Since(began))
	select {
	case <-ctx.Done():
	case <-s.Ended(): // Stop says why
	}
	fmt.Fprintln(env.stdout, "stopping")
	if err := s.Stop(); err != nil {
		return err
	}
	fmt.Fprintln(env.stdout, "stopped")
	return nil
}

// badLinesShown bounds the bad lines that are named one by one.
const badLinesShown = 20

// announce says what runs where. Its last line says that all of it is ready.
func announce(w io.Writer, s *system.System, opts *system.Options, took time.Duration) {
	if s.StorefrontURL != "" {
		fmt.Fprintf(w, "storefront   %s\n", s.StorefrontURL)
	}
	if s.RestaurantsURL != "" && !opts.NoRestaurants {
		fmt.Fprintf(w, "restaurants  %s\n", s.RestaurantsURL)
	}
	if s.OrdersURL != "" {
		fmt.Fprintf(w, "orders       %s\n", s.OrdersURL)
		fmt.Fprintf(w, "riders       %s\n", s.RidersURL)
		fmt.Fprintf(w, "live         %slive/\n", s.LiveURL)
		if opts.Orders > 0 {
			fmt.Fprintf(w, "life         %v orders a minute\n", opts.Orders)
		} else {
			fmt.Fprintln(w, "life         none: a quiet city")
		}
	}
	if s.ExplorerURL != "" {
		fmt.Fprintf(w, "explorer     %s\n", s.ExplorerURL)
	}
	if s.KernelURL != "" {
		fmt.Fprintf(w, "console      %sconsole/\n", s.KernelURL)
		fmt.Fprintf(w, "door         %s\n", s.DoorURL)
		fmt.Fprintf(w, "rules        %srules/\n", s.KernelURL)
		fmt.Fprintf(w, "config       %sconfig/page/\n", s.KernelURL)
		fmt.Fprintf(w, "discovery    %sdiscovery/\n", s.KernelURL)
		fmt.Fprintf(w, "login        %slogin/signin\n", s.KernelURL)
	}
	for _, a := range s.Admin {
		fmt.Fprintf(w, "admin        %s (%s)\n", a.URL, a.Service)
	}
	where := "elsewhere"
	if s.Embedded {
		where = "embedded"
	}
	fmt.Fprintf(w, "bus          %s (%s)\n", s.NATSURL, where)
	if !opts.NoRestaurants {
		fmt.Fprintf(w, "data         %s\n", opts.Data)
		switch {
		case opts.File != "":
			fmt.Fprintf(w, "imported     %d restaurants from %s, %d bad lines left out; there are %d now\n", s.Imported.Good, opts.File, s.Imported.Bad, s.Restaurants)
		case s.Seeded > 0:
			fmt.Fprintf(w, "generated    a city of %d restaurants\n", s.Seeded)
		default:
			fmt.Fprintf(w, "found        %d restaurants\n", s.Restaurants)
		}
	}
	fmt.Fprintf(w, "ready        in %.1f s; stop with Ctrl-C\n", took.Seconds())
}
