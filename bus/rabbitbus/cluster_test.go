package rabbitbus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// cluster is three nodes, each of which keeps a copy of every queue.
type cluster struct {
	nodes []*broker
	space *space
}

func newCluster(t *testing.T, config ...string) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("three brokers take a while")
	}
	c := &cluster{nodes: newBrokers(t, 3, config...)}
	c.start(t, c.nodes...)
	c.space = newSpaceAt(t, c.nodes[0].url())
	return c
}

// start starts nodes that may need each other.
func (c *cluster) start(t *testing.T, nodes ...*broker) {
	t.Helper()
	for _, b := range nodes {
		b.launch(t)
	}
	for _, b := range nodes {
		b.await(t)
	}
}

// bus is a bus whose connections begin with the nodes from that number on.
func (c *cluster) bus(t *testing.T, from int) (*bus.Bus, *conn) {
	t.Helper()
	var urls []string
	for i := range c.nodes {
		urls = append(urls, c.nodes[(from+i)%len(c.nodes)].url())
	}
	return c.busAt(t, urls...)
}

// busAt is a bus that knows these nodes alone.
func (c *cluster) busAt(t *testing.T, urls ...string) (*bus.Bus, *conn) {
	t.Helper()
	opts := Options{Prefix: c.space.prefix, Replicas: 3, ConfirmTimeout: 3 * time.Second, Heartbeat: unhurried, declared: c.space.note}
	d, err := open(soon(t), strings.Join(urls, ","), &opts)
	must(t, err, "Open")
	b := bus.New(d, &d.opts.Bus)
	t.Cleanup(func() {
		if err := b.Shutdown(soon(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return b, d
}

// leader asks a node which of all leads a queue.
func (c *cluster) leader(t *testing.T, ask *broker, queue string) *broker {
	t.Helper()
	for over := soon(t); over.Err() == nil; breathe() {
		for line := range strings.Lines(ask.control(t, "list_queues", "--no-table-headers", "name", "leader")) {
			name, leader, _ := strings.Cut(strings.TrimSpace(line), "\t")
			i := slices.IndexFunc(c.nodes, func(b *broker) bool { return b.node == leader })
			if name == queue && i >= 0 {
				return c.nodes[i]
			}
		}
	}
	t.Fatalf("queue %s has no leader", queue)
	return nil
}

// holesAreTold checks a broadcast: what is missing must be where a hole was told.
func holesAreTold(t *testing.T, lines []string, n int) {
	t.Helper()
	next, hole := 0, false
	for _, line := range lines {
		i, err := strconv.Atoi(line)
		switch {
		case err != nil:
			hole = hole || line == "resumed with a hole"
		case i < next: // again
		case i > next && !hole:
			t.Fatalf("event %d came after %d, and nobody said that something is missing", i, next-1)
		default:
			next, hole = i+1, false
		}
	}
	if next != n {
		t.Errorf("the last event is %d, not %d", next-1, n-1)
	}
}

// TestCluster has events published while two nodes are restarted one after another,
// the third, which leads the group's queue, is killed, and then the first two at
// once. Restarts come first for the reason that TestBrokerRestart has.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	from, _ := c.bus(t, 0)
	in, err := from.Stream(soon(t), "v", nil)
	must(t, err, "Stream")
	var one, values log
	heard := make([]log, len(c.nodes))
	var queue string
	for i := range c.nodes {
		b, d := c.bus(t, i)
		queue = d.names.queue("t", "g")
		_, err = b.Group(soon(t), "t", "g", one.handle, nil)
		must(t, err, "Group")
		_, err = b.Broadcast(soon(t), "t", heard[i].broadcast(), nil)
		must(t, err, "Broadcast")
		_, err = b.Serve(soon(t), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil)
		must(t, err, "Serve")
		if i == 0 {
			out, err := b.Stream(soon(t), "v", nil)
			must(t, err, "Stream")
			_, err = out.Broadcast(soon(t), values.broadcast(), nil)
			must(t, err, "Broadcast of a stream")
		}
	}

	var next atomic.Int64 // event to publish
	var end atomic.Bool
	published := make(chan error, 1)
	go func() {
		for !end.Load() {
			e := event(int(next.Load()))
			if err := errors.Join(from.Publish(patient(t), "t", e), in.Publish(patient(t), e)); err != nil {
				published <- err
				return
			}
			next.Add(1)
			breathe() // the nodes need the processors
		}
		published <- nil
	}()
	goesOn := func(when string) { // with what is published from now on
		t.Helper()
		mark := strconv.FormatInt(next.Load()+10, 10)
		one.until(t, "the group goes on "+when, has(mark))
		values.until(t, "the stream goes on "+when, has(mark))
		for i := range heard {
			heard[i].until(t, "broadcasts go on "+when, has(mark))
		}
	}
	goesOn("in a cluster")

	leader := c.leader(t, c.nodes[0], queue)
	others := slices.DeleteFunc(slices.Clone(c.nodes), func(b *broker) bool { return b == leader })
	for _, b := range others {
		b.end(t, syscall.SIGTERM)
		goesOn("without a node that restarts")
		b.start(t)
	}
	leader.end(t, syscall.SIGKILL)
	goesOn("without the leader")
	leader.start(t)
	goesOn("after the leader has come back")

	for _, b := range others {
		b.end(t, syscall.SIGKILL)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := from.Publish(short, "t", bus.Event{ID: "unsure", Type: "t"}); err == nil {
		t.Error("without a majority nothing is confirmed")
	}
	c.start(t, others...)
	goesOn("after the majority has come back")
	end.Store(true)
	must(t, <-published, "Publish while nodes are away")

	last := int(next.Load())
	must(t, from.Publish(soon(t), "t", event(last)), "Publish")
	must(t, in.Publish(soon(t), event(last)), "Publish to the stream")
	one.until(t, "the last event arrives", has(strconv.Itoa(last)))
	values.until(t, "the last event of the stream arrives", has(strconv.Itoa(last)))
	inOrder(t, one.all(), last+1)
	inOrder(t, values.all(), last+1)
	if has("resumed with a hole")(values.all()) {
		t.Error("a stream that lost nothing has no hole")
	}
	for i := range heard {
		heard[i].until(t, "the last event is broadcast", has(strconv.Itoa(last)))
		holesAreTold(t, heard[i].all(), last+1)
	}
	for over := soon(t); ; breathe() {
		if _, err = from.Request(over, "s", bus.Event{Type: "t"}); err == nil {
			break
		}
		if over.Err() != nil {
			t.Fatalf("requests must work again after the restart: %v", err)
		}
	}
	t.Logf("%d events", last)
}
