package natsbus_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
	"github.com/goswale/swale/bus/natsbus"
)

// network is between the nodes of a cluster, each of which has a proxy in front of
// it that knows who comes.
type network struct {
	ids []string // of the nodes

	mu    sync.Mutex
	alone int // is cut off from the others; -1 nobody is
	lines map[*line]struct{}
	wg    sync.WaitGroup
}

// line is a connection between two nodes.
type line struct {
	from, to int // from is -1 until it is known
	a, b     net.Conn
}

// allowed reports whether the two may meet; mu is held.
func (n *network) allowed(l *line) bool { return n.alone < 0 || l.from != n.alone && l.to != n.alone }

func (n *network) cut(alone int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alone = alone
	for l := range n.lines {
		if !n.allowed(l) {
			_, _ = l.a.Close(), l.b.Close()
		}
	}
}

// door accepts who comes to a node, until the listener is closed.
func (n *network) door(in net.Listener, to int, address string) {
	for {
		a, err := in.Accept()
		if err != nil {
			return
		}
		b, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err != nil {
			_ = a.Close()
			continue
		}
		l := &line{from: -1, to: to, a: a, b: b}
		n.mu.Lock()
		n.lines[l] = struct{}{}
		n.mu.Unlock()
		n.wg.Go(func() { n.pass(l, l.b, l.a, true) })
		n.wg.Go(func() { n.pass(l, l.a, l.b, false) })
	}
}

func (n *network) pass(l *line, to, from net.Conn, inward bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		n.mu.Lock()
		delete(n.lines, l)
		n.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		if inward && l.from < 0 { // who comes says its id first
			l.from = slices.IndexFunc(n.ids, func(id string) bool { return bytes.Contains(buf[:k], []byte(id)) })
		}
		ok := n.allowed(l)
		n.mu.Unlock()
		if !ok {
			return
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}

// startNetwork starts three nodes and returns where clients connect.
func startNetwork(t *testing.T) (n *network, urls []string) {
	t.Helper()
	const nodes = 3
	n = &network{alone: -1, lines: make(map[*line]struct{})}
	ports := bustest.FreePorts(t, 2*nodes)
	var doors []net.Listener
	var routes []*url.URL
	for range nodes {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doors = append(doors, l)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	var servers []*server.Server
	for i := range nodes {
		s, err := server.NewServer(&server.Options{
			ServerName: "n" + strconv.Itoa(i), Host: "127.0.0.1", Port: ports[2*i], JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[2*i+1], Advertise: routes[i].Host, NoAdvertise: true},
			Routes:  slices.Delete(slices.Clone(routes), i, i+1),
		})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
		n.ids = append(n.ids, s.ID())
		urls = append(urls, "nats://127.0.0.1:"+strconv.Itoa(ports[2*i]))
	}
	for i, l := range doors {
		n.wg.Go(func() { n.door(l, i, "127.0.0.1:"+strconv.Itoa(ports[2*i+1])) })
	}
	for _, s := range servers {
		go s.Start()
	}
	t.Cleanup(func() {
		for _, s := range servers {
			s.Shutdown()
			s.WaitForShutdown()
		}
		for _, l := range doors {
			_ = l.Close()
		}
		n.wg.Wait()
	})
	for _, s := range servers {
		if !s.ReadyForConnections(patience) {
			t.Fatal("a node doesn't start")
		}
	}
	return n, urls
}

// TestPartition cuts the node off that leads the stream, with a bus that knows no
// other.
func TestPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers take a while")
	}
	n, urls := startNetwork(t)
	opts := &natsbus.Options{Replicas: 3, AckTimeout: 2 * time.Second}
	open := func(urls ...string) *bus.Bus {
		for over := unhurried(t); ; {
			ctx, cancel := context.WithTimeout(over, 10*time.Second)
			b, err := natsbus.Open(ctx, strings.Join(urls, ","), opts)
			cancel()
			if err == nil {
				t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
				return b
			}
			if over.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	open(urls...) // makes the stream
	raw, err := nats.Connect(strings.Join(urls, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	js, err := jetstream.New(raw)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(unhurried(t), "swale-events")
	if err != nil {
		t.Fatal(err)
	}
	alone, err := strconv.Atoi(strings.TrimPrefix(stream.CachedInfo().Cluster.Leader, "n"))
	if err != nil {
		t.Fatal(err)
	}
	major, minor := open(slices.Delete(slices.Clone(urls), alone, alone+1)...), open(urls[alone])
	topics := []string{"major", "minor"} // where their publisher is
	var group [2]record
	var heard [2][2]record // by side and topic
	for side, b := range []*bus.Bus{major, minor} {
		for i, topic := range topics {
			if _, err := b.Group(unhurried(t), topic, "g", func(_ context.Context, d *bus.Delivery) error {
				group[i].add(d.Event.ID)
				return nil
			}, &bus.GroupOptions{AckWait: 2 * time.Second}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Broadcast(unhurried(t), topic, heard[side][i].handler(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What has its consumer at the node that will be alone goes on to hear the
	// consumer, and nothing else.
	var deaf record
	for at := ""; at != stream.CachedInfo().Cluster.Leader; {
		before := consumers(t, stream)
		sub, err := minor.Broadcast(unhurried(t), topics[0], deaf.handler(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, leader := range consumers(t, stream) {
			if before[name] == "" {
				at = leader
			}
		}
		if at != stream.CachedInfo().Cluster.Leader {
			if err := sub.Close(unhurried(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var end atomic.Bool
	var next [2]atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end.Store(true)
	for i, b := range []*bus.Bus{major, minor} {
		wg.Go(func() {
			for k := 0; !end.Load() && !t.Failed(); k++ {
				publishAll(t, b, topics[i], k, k+1)
				next[i].Add(1)
			}
		})
	}
	goesOn := func(when string, i int, records ...*record) {
		t.Helper()
		mark := strconv.FormatInt(next[i].Load()+10, 10)
		for _, r := range records {
			r.until(t, when+" events of "+topics[i]+" come", has(mark))
		}
	}
	for i := range topics {
		goesOn("before the cut", i, &group[i], &heard[0][i], &heard[1][i])
	}
	goesOn("before the cut", 0, &deaf)

	n.cut(alone)
	goesOn("during the cut", 0, &group[0], &heard[0][0])
	if err := shortPublish(t, minor); err == nil {
		t.Error("behind the cut nothing is confirmed")
	}
	for i := range topics {
		heard[1][i].until(t, "behind the cut broadcasts are lost", lost)
	}
	deaf.until(t, "with its consumer at the node that is alone a broadcast is lost, too", lost)

	n.cut(-1)
	for i := range topics {
		goesOn("after the cut", i, &group[i], &heard[0][i], &heard[1][i])
	}
	goesOn("after the cut", 0, &deaf)
	end.Store(true)
	wg.Wait()
	for i := range topics {
		last := int(next[i].Load()) - 1
		records := []*record{&group[i], &heard[0][i], &heard[1][i]}
		if i == 0 {
			records = append(records, &deaf)
		}
		for _, r := range records {
			lines := r.until(t, "the last event comes", has(strconv.Itoa(last)))
			if r != &group[i] {
				whole(t, lines, last+1)
			} else if got := events(lines); got <= last {
				t.Errorf("the group %s got %d of %d events", topics[i], got, last+1)
			}
		}
	}
}

// lost reports whether the last that was said of the subscription is that it is lost.
func lost(lines []string) bool {
	for _, l := range slices.Backward(lines) {
		if _, err := strconv.Atoi(l); err != nil {
			return l == "lost"
		}
	}
	return false
}

// consumers returns the consumers of a stream, and where each is.
func consumers(t *testing.T, stream jetstream.Stream) map[string]string {
	t.Helper()
	at := map[string]string{}
	list := stream.ListConsumers(unhurried(t))
	for info := range list.Info() {
		at[info.Name] = info.Cluster.Leader
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return at
}
