package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

func TestServerRestart(t *testing.T) {
	opts := &embedded.Options{Dir: t.TempDir(), Port: bustest.FreePorts(t, 1)[0]}
	server := startServer(t, opts)
	from, to := openBus(t, server.URL(), nil), openBus(t, server.URL(), nil)
	var all, group record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		group.add(d.Event.ID)
		return nil
	}, &bus.GroupOptions{Parallel: 1, AckWait: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	const n = 3000
	done := make(chan struct{})
	go func() { defer close(done); publishAll(t, from, "orders", 0, n) }()
	all.until(t, "events before the restart", has("500"))
	server.Shutdown()
	all.until(t, "a lost connection is reported", has("lost"))
	startServer(t, opts)
	<-done
	last := strconv.Itoa(n - 1)
	lines := all.until(t, "events after the restart", has(last))
	whole(t, lines, n)
	if !has("resumed")(lines) || has("resumed with a hole")(lines) {
		t.Errorf("a restart of a server that keeps its files leaves no hole")
	}
	seen := make(map[string]bool)
	for _, l := range group.until(t, "the group goes on after the restart", has(last)) {
		seen[l] = true
	}
	group.until(t, "the group gets every event", func(lines []string) bool {
		for _, l := range lines {
			seen[l] = true
		}
		return len(seen) == n
	})
}

func TestRestartWithoutFiles(t *testing.T) {
	opts := &embedded.Options{Dir: t.TempDir(), Port: bustest.FreePorts(t, 1)[0]}
	server := startServer(t, opts)
	b := openBus(t, server.URL(), nil)
	var all record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 10)
	all.until(t, "events", has("9"))
	server.Shutdown()
	opts.Dir = t.TempDir()
	startServer(t, opts)
	// The server comes back with nothing, so the next bus makes the stream anew.
	other := openBus(t, server.URL(), nil)
	all.until(t, "a server that lost its data is a hole", has("resumed with a hole"))
	publishAll(t, other, "orders", 10, 20)
	all.until(t, "events after the hole", has("19"))
}

func TestConnectionCut(t *testing.T) {
	t.Parallel()
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from, to := openBus(t, server.URL(), nil), openBus(t, p.url(), nil)
	var all record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 100)
	all.until(t, "events before the cut", has("99"))
	p.set(true, false)
	all.until(t, "a cut is reported", has("lost"))
	publishAll(t, from, "orders", 100, 600)
	if !testing.Short() {
		timer := time.NewTimer(10 * time.Second)
		<-timer.C
	}
	if err := shortPublish(t, to); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("publishing over a cut connection fails when the context ends, with the reason: got %v", err)
	}
	p.set(false, false)
	lines := all.until(t, "events after the cut", has("599"))
	whole(t, lines, 600)
	if has("resumed with a hole")(lines) {
		t.Error("what was published during a cut is read from the stream: no hole")
	}
}

func shortPublish(t *testing.T, b *bus.Bus) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	return b.Publish(ctx, "other", bus.Event{Type: "t"})
}

func TestSilentConnection(t *testing.T) {
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from, to := openBus(t, server.URL(), nil), openBus(t, p.url(), &natsbus.Options{Heartbeat: 100 * time.Millisecond, Conn: []nats.Option{nats.PingInterval(300 * time.Millisecond), nats.MaxPingsOutstanding(1)}})
	var all record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 10)
	all.until(t, "events", has("9"))
	p.set(false, true)
	all.until(t, "a connection that is open but dead is noticed by its missing heartbeat", has("lost"))
	publishAll(t, from, "orders", 10, 20)
	p.set(true, false)
	p.set(false, false)
	lines := all.until(t, "events after the silence", has("19"))
	whole(t, lines, 20)
}

func TestConsumerDeleted(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{Heartbeat: 100 * time.Millisecond, PinTTL: time.Second})
	var all, group record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		group.add(d.Event.ID)
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 10)
	all.until(t, "events", has("9"))
	group.until(t, "events", has("9"))
	raw, err := nats.Connect(server.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	js, err := jetstream.New(raw, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "swale-events")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	publishAll(t, b, "orders", 10, 20)
	lines := all.until(t, "a broadcast whose consumer died silently goes on", has("19"))
	whole(t, lines, 20)
	if !has("lost")(lines) || has("resumed with a hole")(lines) {
		t.Errorf("a consumer that died is reported, and nothing was missed: %q", lines)
	}
	seen := map[string]bool{}
	group.until(t, "a group whose consumer was deleted goes on behind what it acked", func(lines []string) bool {
		for _, l := range lines {
			seen[l] = true
		}
		return len(seen) == 20
	})
}

func TestSlowBroadcastHandler(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{AckTimeout: patience, Buffer: 64, Heartbeat: 100 * time.Millisecond})
	var all record
	release := make(chan struct{})
	h := all.handler()
	inner := h.Event
	h.Event = func(e bus.Event) {
		if e.ID == "0" {
			<-release
		}
		inner(e)
	}
	if _, err := b.Broadcast(t.Context(), "orders", h, nil); err != nil {
		t.Fatal(err)
	}
	batch := make([]bus.Event, 2000)
	for i := range batch {
		batch[i] = event(i)
	}
	if err := b.Publish(t.Context(), "orders", batch...); err != nil {
		t.Fatal(err)
	}
	close(release)
	lines := all.until(t, "a slow handler gets everything in the end", has("1999"))
	whole(t, lines, 2000)
	if has("resumed with a hole")(lines) {
		t.Error("what the buffer couldn't hold is read from the stream: no hole")
	}
}

func TestOvertaken(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{AckTimeout: patience, Buffer: 16, Heartbeat: 100 * time.Millisecond, MaxBytes: 64 << 10})
	var all record
	release := make(chan struct{})
	h := all.handler()
	inner := h.Event
	h.Event = func(e bus.Event) {
		if e.ID == "0" {
			<-release
		}
		inner(e)
	}
	if _, err := b.Broadcast(t.Context(), "orders", h, nil); err != nil {
		t.Fatal(err)
	}
	batch := make([]bus.Event, 2000) // several times what the stream keeps
	for i := range batch {
		batch[i] = event(i)
	}
	if err := b.Publish(t.Context(), "orders", batch...); err != nil {
		t.Fatal(err)
	}
	close(release)
	all.until(t, "events that the stream dropped before the handler was ready are reported as a hole", has("resumed with a hole"))
	all.until(t, "it goes on after the hole", has("1999"))
}

func TestTenThousandTopics(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{AckTimeout: patience, Conn: server.InProcess()})
	var all record
	for i := range 50 {
		if _, err := b.Broadcast(t.Context(), "topic-"+strconv.Itoa(i*200), all.handler(), nil); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 10_000 {
		wg.Add(1)
		if err := b.PublishAsync(t.Context(), "topic-"+strconv.Itoa(i), event(i), func(err error) {
			if err != nil {
				t.Errorf("topic %d: %v", i, err)
			}
			wg.Done()
		}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	all.until(t, "ten thousand topics cost no more than one", func(lines []string) bool { return events(lines) == 50 })
}

func TestShards(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{Shards: 4, Prefix: "test.shards"})
	var all record
	for i := range 20 {
		topic := "topic-" + strconv.Itoa(i)
		if _, err := b.Broadcast(t.Context(), topic, all.handler(), nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), topic, event(i)); err != nil {
			t.Fatal(err)
		}
	}
	all.until(t, "topics on several JetStream streams", func(lines []string) bool { return events(lines) == 20 })
}

// cluster is three servers and a bus on them with three replicas.
type cluster struct {
	servers [3]*embedded.Server
	opts    [3]*embedded.Options
	url     string
	bus     *bus.Bus
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("three servers take a while")
	}
	c := new(cluster)
	var routes, urls []string
	ports := bustest.FreePorts(t, 2*len(c.opts))
	for i := range c.opts {
		port := ports[2*i]
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(port))
		c.opts[i] = &embedded.Options{
			Name: "n" + strconv.Itoa(i), Dir: t.TempDir(), Port: ports[2*i+1],
			Cluster: &embedded.Cluster{Name: "test", Port: port},
		}
	}
	for i := range c.opts {
		c.opts[i].Cluster.Routes = routes
		c.servers[i] = startServer(t, c.opts[i])
		urls = append(urls, c.servers[i].URL())
	}
	c.url = strings.Join(urls, ",")
	for deadline := time.Now().Add(patience); c.bus == nil; {
		var err error
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if c.bus, err = natsbus.Open(ctx, c.url, &natsbus.Options{Replicas: 3, AckTimeout: 2 * time.Second}); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
		cancel()
	}
	t.Cleanup(func() { _ = c.bus.Shutdown(context.Background()) })
	return c
}

func TestCluster(t *testing.T) {
	c := startCluster(t)
	b, servers, opts := c.bus, &c.servers, &c.opts
	if d := b.Durability(); d.Replicas != 3 {
		t.Errorf("Durability says how many replicas: %v", d)
	}
	var all, group record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		group.add(d.Event.ID)
		return nil
	}, &bus.GroupOptions{AckWait: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 200)
	all.until(t, "events", has("199"))
	servers[1].Shutdown()
	servers[2].Shutdown()
	if err := shortPublish(t, b); err == nil {
		t.Error("without a majority nothing is confirmed")
	}
	servers[1] = startServer(t, opts[1])
	servers[2] = startServer(t, opts[2])
	publishAll(t, b, "orders", 200, 400)
	lines := all.until(t, "events after the majority is back", has("399"))
	whole(t, lines, 400)
	seen := map[string]bool{}
	group.until(t, "the group gets every event", func(lines []string) bool {
		for _, l := range lines {
			seen[l] = true
		}
		return len(seen) == 400
	})
}

// Leaders change while events come: of the stream and of the group's consumer.
func TestLeaderChange(t *testing.T) {
	c := startCluster(t)
	var all, group record
	if _, err := c.bus.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.bus.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		group.add(d.Event.ID)
		return nil
	}, &bus.GroupOptions{AckWait: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	raw, err := nats.Connect(c.url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	const n, changes = 400, 4
	for change := range changes {
		done := make(chan struct{})
		go func() {
			defer close(done)
			publishAll(t, c.bus, "orders", change*n/changes, (change+1)*n/changes)
		}()
		what := "STREAM.LEADER.STEPDOWN.swale-events"
		if change%2 == 1 {
			what = "CONSUMER.LEADER.STEPDOWN.swale-events.orders@g"
		}
		m, err := raw.Request("$JS.API."+what, nil, patience)
		if err != nil || !bytes.Contains(m.Data, []byte(`"success":true`)) {
			t.Fatalf("%s: %v: %s", what, err, m.Data)
		}
		<-done
	}
	lines := all.until(t, "events after the changes", has(strconv.Itoa(n-1)))
	whole(t, lines, n)
	if has("resumed with a hole")(lines) {
		t.Error("a change of leaders leaves no hole")
	}
	seen := map[string]bool{}
	group.until(t, "the group gets every event", func(lines []string) bool {
		for _, l := range lines {
			seen[l] = true
		}
		return len(seen) == n
	})
}

// The server forgets the consumer of a broadcast whose process was away for long.
func TestConsumerExpiredWhileAway(t *testing.T) {
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from, to := openBus(t, server.URL(), nil), openBus(t, p.url(), nil)
	var all record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 10)
	all.until(t, "events before the cut", has("9"))
	p.set(true, false)
	all.until(t, "a cut is reported", has("lost"))
	raw, err := nats.Connect(server.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	js, err := jetstream.New(raw, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "swale-events")
	if err != nil {
		t.Fatal(err)
	}
	expired := 0
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		expired++
	}
	if expired != 1 {
		t.Fatalf("the broadcast has %d consumers", expired)
	}
	publishAll(t, from, "orders", 10, 30)
	p.set(false, false)
	lines := all.until(t, "events after the cut", has("29"))
	whole(t, lines, 30)
	if has("resumed with a hole")(lines) {
		t.Error("what was published meanwhile is read from the stream: no hole")
	}
}

func TestMemberDies(t *testing.T) {
	t.Parallel()
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	opts := &natsbus.Options{PinTTL: time.Second}
	groupOpts := &bus.GroupOptions{AckWait: 3 * time.Second, MaxInFlight: 16}
	dying := openBus(t, p.url(), opts)
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	if _, err := dying.Group(t.Context(), "orders", "g", func(context.Context, *bus.Delivery) error {
		once.Do(func() { close(started) })
		<-release
		return nil
	}, groupOpts); err != nil {
		t.Fatal(err)
	}
	from := openBus(t, server.URL(), opts)
	publishAll(t, from, "orders", 0, 5)
	<-started
	var next record
	if _, err := openBus(t, server.URL(), opts).Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		next.add(d.Event.Subject + "/" + d.Event.ID)
		return nil
	}, groupOpts); err != nil {
		t.Fatal(err)
	}
	p.set(true, false) // its events stay unacked, and the pin stays until it expires
	defer close(release)
	publishAll(t, from, "orders", 5, 60)
	lines := next.until(t, "the next member takes over", func(lines []string) bool { return len(lines) >= 60 })
	last := map[string]int{}
	for _, l := range lines {
		key, id, _ := strings.Cut(l, "/")
		i, _ := strconv.Atoi(id)
		if before, ok := last[key]; ok && i < before {
			t.Errorf("%s: %d came after %d: what a dead member held comes before newer events of its keys", key, i, before)
		}
		last[key] = i
	}
}

func TestConfirmationsWithheld(t *testing.T) {
	server := startServer(t, nil)
	raw, err := nats.Connect(server.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	js, err := jetstream.New(raw, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	// A stream that an operator made so that it confirms nothing.
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "swale-events", Subjects: []string{"swale.e.0.>"}, NoAck: true}); err != nil {
		t.Fatal(err)
	}
	b := openBus(t, server.URL(), &natsbus.Options{AckTimeout: 200 * time.Millisecond, Bus: bus.Options{Window: 2}})
	for range 3 { // three times the window: what isn't confirmed gives its place back
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := b.Publish(ctx, "orders", event(1), event(2)) // ends with its context
		cancel()
		var partial *bus.PublishError
		if !errors.As(err, &partial) || len(partial.Failed) != 2 {
			t.Fatalf("without confirmations nothing is called safe, and the error lists every event: got %v", err)
		}
	}
}

func TestConsumerSlowerThanProducer(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{AckTimeout: patience})
	const ackWait = 3 * time.Second
	attempts := 0
	bustest.Steadily(t, ackWait/3, func() error {
		attempts++
		topic := "orders" + strconv.Itoa(attempts)
		var group record
		sub, err := b.Group(t.Context(), topic, "g", func(_ context.Context, d *bus.Delivery) error {
			timer := time.NewTimer(5 * time.Millisecond)
			<-timer.C
			group.add(d.Event.Subject + "/" + d.Event.ID)
			return nil
		}, &bus.GroupOptions{MaxInFlight: 32, Parallel: 3, AckWait: ackWait})
		if err != nil {
			t.Fatal(err)
		}
		const n = 2000 // takes longer than AckWait, with at most 32 held
		batch := make([]bus.Event, n)
		for i := range batch {
			batch[i] = event(i)
		}
		if err := b.Publish(t.Context(), topic, batch...); err != nil {
			t.Fatal(err)
		}
		lines := group.until(t, "a slow group gets everything in the end", func(lines []string) bool { return len(lines) >= n })
		if err := sub.Close(t.Context()); err != nil {
			t.Error(err)
		}
		last := map[string]int{}
		for _, l := range lines {
			key, id, _ := strings.Cut(l, "/")
			i, _ := strconv.Atoi(id)
			if before, ok := last[key]; ok && i <= before {
				return fmt.Errorf("%s: %d came after %d: a slow consumer changes neither order nor number", key, i, before)
			}
			last[key] = i
		}
		return nil
	})
}
