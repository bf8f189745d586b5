package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/nplusone"
	"github.com/goswale/swale/reference-services/internal/system"
)

const demoAbout = `Loads a page of one list and N items again and again while the items change, four
ways: without a cache, revalidating by ETag, trusting max-age, and with RESN.
Prints what each costs and how stale it is.

The system that is measured is a private one in a temporary directory, unless
--target names one that runs. Its restaurants get their names back at the end.`

type demoFlags struct {
	target      string
	nats        string
	restaurants string
	geohash     string
	duration    time.Duration
	rate        float64
	items       int
	json        bool
	svg         string
}

func runDemo(ctx context.Context, env environment, args []string) error {
	if len(args) > 0 && args[0] == "n+1" {
		args = args[1:]
	} else if len(args) == 0 || args[0] != "--help" && args[0] != "-h" && args[0] != "-help" {
		return fmt.Errorf("%w: which demo? There is one: swale demo n+1", errUsage)
	}
	var d demoFlags
	f := newFlags(env, "demo n+1", demoAbout)
	f.StringVar(&d.target, "target", "", "the `url` that a running system printed; default: a private system is started")
	f.StringVar(&d.nats, "nats", "", "with --target: the `url` of its bus as swale up printed it")
	f.StringVar(&d.restaurants, "restaurants", "", "import the restaurants of this `file` into the private system; default: a generated city")
	f.StringVar(&d.geohash, "geohash", "", "the area of the page, a `geohash`; default: the first restaurants of all")
	f.DurationVar(&d.duration, "duration", 20*time.Second, "how `long` pages are loaded, all four ways together")
	f.Float64Var(&d.rate, "rate", 100, "`number` of updates a second")
	f.IntVar(&d.items, "items", 50, "`number` of items on a page")
	f.BoolVar(&d.json, "json", false, "print one JSON object and nothing else on standard output")
	f.StringVar(&d.svg, "svg", "", "write the chart to this `file`; default n-plus-one.svg, with --json none")
	if err := f.parse(args); err != nil {
		return err
	}
	switch {
	case d.duration < time.Second || d.duration > time.Hour:
		return fmt.Errorf("%w: --duration is %v; it must be from 1s to 1h", errUsage, d.duration)
	case d.rate <= 0 || d.rate > 10_000:
		return fmt.Errorf("%w: --rate is %v; it must be more than 0 and at most 10000", errUsage, d.rate)
	case d.items < 1 || d.items > 100:
		return fmt.Errorf("%w: --items is %d; it must be from 1 to 100", errUsage, d.items)
	case d.target != "" && d.restaurants != "":
		return fmt.Errorf("%w: --restaurants is for the private system, and --target names another", errUsage)
	}
	if d.svg == "" && !d.json {
		d.svg = "n-plus-one.svg"
	}
	return d.run(ctx, env)
}

func (d *demoFlags) run(ctx context.Context, env environment) (err error) {
	p := newProgress(env.stderr)
	defer p.clear()
	root, b, stop, err := d.subject(ctx, p)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if stopErr := stop(end); err == nil {
			err = stopErr
		}
	}()
	report, err := nplusone.Run(ctx, nplusone.Options{
		Root: root, Bus: b, Geohash: d.geohash, Items: d.items, Duration: d.duration, Rate: d.rate,
		Progress: func(s nplusone.Progress) {
			p.show(s.Share, "%s  %d pages  %d updates", s.Step, s.Pages, s.Updates)
		},
	})
	p.clear()
	if err != nil {
		return err
	}
	if d.svg != "" {
		var chart bytes.Buffer
		if err := report.WriteChart(&chart); err != nil {
			return err
		}
		if err := os.WriteFile(d.svg, chart.Bytes(), 0o644); err != nil { //nolint:gosec // a picture for everybody
			return fmt.Errorf("write the chart: %w", err)
		}
	}
	if d.json {
		return json.NewEncoder(env.stdout).Encode(report)
	}
	if err := report.WriteTable(env.stdout); err != nil {
		return err
	}
	fmt.Fprint(env.stdout, nplusone.Legend)
	fmt.Fprintf(env.stdout, "\nThe chart is in %s.\n", d.svg)
	return nil
}

// subject returns the system to measure: the root of its restaurants service,
// its bus, and how to let go of it.
func (d *demoFlags) subject(ctx context.Context, p *progress) (root string, b *bus.Bus, stop func(context.Context) error, err error) {
	if d.target != "" {
		return d.running(ctx)
	}
	dir, err := os.MkdirTemp("", "swale-demo-")
	if err != nil {
		return "", nil, nil, err
	}
	p.show(0, "starting a private system")
	s, err := system.Start(ctx, system.Options{
		Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", AdminListen: "off", File: d.restaurants, NoStorefront: true,
		Imported: func(i system.Import) { p.show(0, "importing: %d restaurants, %d bad lines", i.Good, i.Bad) },
	})
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, nil, err
	}
	if b, err = s.Connect(ctx); err != nil {
		return "", nil, nil, errors.Join(err, s.Stop(), os.RemoveAll(dir))
	}
	return s.RestaurantsURL, b, func(ctx context.Context) error {
		return errors.Join(b.Shutdown(ctx), s.Stop(), os.RemoveAll(dir))
	}, nil
}

// running finds the way from a printed URL to the restaurants service, by
// links, and to the bus.
func (d *demoFlags) running(ctx context.Context) (root string, b *bus.Bus, stop func(context.Context) error, err error) {
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Timeout: 10 * time.Second}, AllowedHosts: []string{"*"}})
	doc, err := hal.Get[hal.Any](ctx, client, d.target)
	if err != nil {
		return "", nil, nil, fmt.Errorf("read the target: %w", err)
	}
	link, ok := doc.Links().Get("restaurants")
	if !ok {
		return "", nil, nil, fmt.Errorf("%s has no link %q; give the URL that swale up printed", d.target, "restaurants")
	}
	root = doc.URL // it is the restaurants service itself
	if !link.Templated {
		service, err := hal.Follow[hal.Any](ctx, client, doc, "restaurants")
		if err != nil {
			return "", nil, nil, fmt.Errorf("read the restaurants service: %w", err)
		}
		root = service.URL
	}
	if d.nats == "" {
		return "", nil, nil, fmt.Errorf("%w: say with --nats (or NATS_URL) which bus the target uses; swale up prints its URL", errUsage)
	}
	b, err = system.ConnectBus(ctx, d.nats, nil)
	if err != nil {
		return "", nil, nil, err
	}
	return root, b, b.Shutdown, nil
}
