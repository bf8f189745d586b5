package rows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

func discoveryRows() []ratio.Row {
	pick := func(name, unit string, bound ratio.Bound, note string, split *discovery.Split, key string, measure func(ratio.Op) (float64, error)) ratio.Row {
		return ratio.Row{Name: name, Unit: unit, Bound: bound, Note: note, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			op, closer, err := picking(ctx, split, key)
			return func() (float64, error) { return measure(op) }, closer, err
		}}
	}
	split := &discovery.Split{Salt: "menu", Versions: []discovery.VersionWeight{{Version: "v0", Weight: 90}, {Version: "v1", Weight: 10}}}
	return []ratio.Row{
		pick("discovery.pick.ns", "ns", ratio.AtMost(150), "one of 200 instances in three zones picked and given back", nil, "", ratio.PerOp),
		pick("discovery.pick.allocs", "allocs", ratio.AtMost(0.01), "heap objects of the same", nil, "", ratio.Allocs),
		pick("discovery.pick_split.ns", "ns", ratio.Bound{}, "the same with a binding of 90 and 10 percent", split, "", ratio.PerOp),
		pick("discovery.pick_sticky.ns", "ns", ratio.Bound{}, "the same, sticky by a key", split, "customer-17", ratio.PerOp),
		pick("discovery.pick_sticky.allocs", "allocs", ratio.AtMost(0.01), "heap objects of the same", split, "customer-17", ratio.Allocs),
		{
			Name: "discovery.watch.vs_store", Unit: "x", Bound: ratio.AtMost(3),
			Note: "median time from an instance's change to another process's resolver, against a put to a watch of the same bucket",
			Open: openWatchLatency,
		},
	}
}

// picking returns an operation that picks one of 200 instances and gives it back.
func picking(ctx context.Context, split *discovery.Split, key string) (ratio.Op, func(), error) {
	registry := memdiscovery.New(nil)
	resolver := discovery.NewResolver(registry, &discovery.ResolverOptions{Zone: "z1", SlowStart: -1})
	closer := func() {
		_ = resolver.Shutdown(context.WithoutCancel(ctx))
		_ = registry.Shutdown(context.WithoutCancel(ctx))
	}
	for i := range 200 {
		_, err := registry.Register(ctx, discovery.Instance{
			Service: "restaurants", ID: fmt.Sprintf("i%03d", i), Zone: fmt.Sprintf("z%d", i%3), Version: fmt.Sprintf("v%d", i%2),
			Endpoints: []discovery.Endpoint{{Scheme: "http", Address: fmt.Sprintf("10.0.0.%d:8080", i)}},
		}, nil)
		if err != nil {
			closer()
			return nil, nil, err
		}
	}
	op := func() error {
		p, err := resolver.Pick(ctx, "restaurants", split, key)
		if err != nil {
			return err
		}
		p.Done(discovery.Outcome{})
		return nil
	}
	return op, closer, op()
}

// watchChanges are the changes of each side in a round.
const watchChanges = 300

// openWatchLatency compares how soon a change is seen, over TCP, through two
// connections on each side.
func openWatchLatency(ctx context.Context) (func() (float64, error), func(), error) {
	var closers []func()
	closer := func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	round, err := watchLatency(ctx, func(c func()) { closers = append(closers, c) })
	if err != nil {
		closer()
		return nil, nil, err
	}
	return round, closer, nil
}

func watchLatency(ctx context.Context, later func(func())) (func() (float64, error), error) {
	url, stop, err := apart.NATS(ctx)
	if err != nil {
		return nil, err
	}
	later(stop)
	ours, err := registryChange(ctx, url, later)
	if err != nil {
		return nil, err
	}
	raw, err := storeChange(ctx, url, later)
	if err != nil {
		return nil, err
	}
	return func() (float64, error) {
		var sides [2][]float64
		for i := range watchChanges {
			for turn := range 2 {
				side := (i + turn) % 2 // who goes first changes
				took, err := []func() (time.Duration, error){ours, raw}[side]()
				if err != nil {
					return 0, err
				}
				sides[side] = append(sides[side], float64(took))
			}
		}
		for _, s := range sides {
			slices.Sort(s)
		}
		return sides[0][watchChanges/2] / sides[1][watchChanges/2], nil
	}, nil
}

// seen waits for a sign that a change has arrived.
func seen(ctx context.Context, arrived <-chan time.Time) (time.Time, error) {
	select {
	case at := <-arrived:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-time.After(natsPatient):
		return time.Time{}, fmt.Errorf("a change wasn't seen in %v", natsPatient)
	}
}

// registryChange changes an instance in one process and waits for the resolver of
// another.
func registryChange(ctx context.Context, url string, later func(func())) (func() (time.Duration, error), error) {
	var registries [2]*discovery.Registry
	for i := range registries {
		r, err := natsdiscovery.Open(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		later(func() { _ = r.Shutdown(context.WithoutCancel(ctx)) })
		registries[i] = r
	}
	arrived := make(chan time.Time, 16)
	resolver := discovery.NewResolver(registries[1], &discovery.ResolverOptions{OnView: func(discovery.View) { arrived <- time.Now() }})
	later(func() { _ = resolver.Shutdown(context.WithoutCancel(ctx)) })
	g, err := registries[0].Register(ctx, discovery.Instance{
		Service: "restaurants", Version: "1.4.0", ID: "r1", Zone: "eu-west-1a",
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}},
	}, &discovery.RegisterOptions{TTL: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	if _, err := resolver.View(ctx, "restaurants"); err != nil {
		return nil, err
	}
	<-arrived
	n := 0
	return func() (time.Duration, error) {
		n++
		began := time.Now()
		if err := g.SetHealth(ctx, discovery.Serving, fmt.Sprint("change ", n)); err != nil {
			return 0, err
		}
		at, err := seen(ctx, arrived)
		return at.Sub(began), err
	}, nil
}

// storeChange puts a value of about the same size and waits for a watch of the
// store's own.
func storeChange(ctx context.Context, url string, later func(func())) (func() (time.Duration, error), error) {
	var buckets [2]jetstream.KeyValue
	for i := range buckets {
		nc, err := nats.Connect(url)
		if err != nil {
			return nil, err
		}
		later(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			return nil, err
		}
		if buckets[i], err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "raw"}); err != nil {
			return nil, err
		}
	}
	watcher, err := buckets[1].Watch(ctx, "*.restaurants.*")
	if err != nil {
		return nil, err
	}
	<-watcher.Updates() // nothing is there yet
	arrived := make(chan time.Time, 16)
	go func() {
		for range watcher.Updates() {
			arrived <- time.Now()
		}
	}()
	later(func() { _ = watcher.Stop() })
	value := make([]byte, 320)
	return func() (time.Duration, error) {
		began := time.Now()
		if _, err := buckets[0].Put(ctx, "instances.restaurants.r1", value); err != nil {
			return 0, err
		}
		at, err := seen(ctx, arrived)
		return at.Sub(began), err
	}, nil
}
