// Command scale computes what a number of readers, topics and changes cost each
// part, from what one of each costs, measured here and now, and checks the sum for
// a reader by running the real ones for a second of that world.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/goswale/swale/benchmarks/internal/fed"
)

func main() {
	w := fed.World{}
	flag.IntVar(&w.Readers, "readers", 1000, "processes that read")
	flag.IntVar(&w.Topics, "topics", 100, "topics that are announced")
	flag.IntVar(&w.Listens, "listens", 10, "topics that a reader listens to")
	flag.IntVar(&w.Changes, "changes", 10_000, "changes a second, over all topics")
	flag.Float64Var(&w.Marks, "watermarks", 4, "watermarks a second, for each topic")
	flag.IntVar(&w.Held, "held", 1000, "entries that a reader holds")
	simulated := flag.Int("simulate", 20, "readers to run for a second of that world; 0 for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, w, *simulated); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w fed.World, simulated int) error {
	w.Listens = min(w.Listens, w.Topics)
	c, err := fed.Measure(ctx)
	if err != nil {
		return err
	}
	jetstream, err := fed.Fanout(ctx, false)
	if err != nil {
		return err
	}
	core, err := fed.Fanout(ctx, true)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	line := func(what string, value any) { fmt.Fprintf(out, "%s\t%v\n", what, value) }
	line("notice encoded at a relay", c.Encode)
	line("notice taken in, not held", c.Unheld)
	line("notice taken in, held", c.Held)
	line("watermark taken in", c.Watermark)
	line("read after a notice, without network", c.Refill)
	line("notice delivered by JetStream, all in", jetstream)
	line("notice delivered by core NATS, all in", core)
	line("notice, bytes", c.NoticeBytes)
	line("watermark, bytes", c.WatermarkBytes)
	line("topic listened to, bytes of heap", c.TopicBytes)
	line("remembered notices, bytes of heap", c.LedgerBytes)

	l := w.Compute(c, 0)
	line("", "")
	line(fmt.Sprintf("%d readers of %d in %d topics, %d changes/s:", w.Readers, w.Listens, w.Topics, w.Changes), "")
	line("published", fmt.Sprintf("%.0f/s, %.1f MB/s", l.Published, l.PublishedB/1e6))
	line("delivered", fmt.Sprintf("%.0f/s, %.1f MB/s", l.Delivered, l.DeliveredB/1e6))
	line("deliveries by JetStream, cores", cores(l.Delivered, jetstream))
	line("deliveries by core NATS, cores", cores(l.Delivered, core))
	line("relays, of a core", percent(l.Owners))
	line("a reader, of a core", percent(l.Reader))
	line("a reader, heap beside its entries", fmt.Sprintf("%.1f MB", float64(l.ReaderB)/1e6))
	if simulated > 0 {
		used, taken, err := w.Simulate(ctx, simulated)
		if err != nil {
			return err
		}
		line(fmt.Sprintf("a reader, simulated (%d of them, %d messages each), of a core", simulated, taken), percent(used))
		line("simulated by computed", fmt.Sprintf("%.2f", float64(used)/float64(l.Reader)))
	}
	return out.Flush()
}

func cores(perSecond float64, each time.Duration) string {
	return fmt.Sprintf("%.1f", perSecond*each.Seconds())
}

func percent(used time.Duration) string { return fmt.Sprintf("%.2f%%", 100*used.Seconds()) }
