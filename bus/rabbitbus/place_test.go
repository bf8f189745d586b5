package rabbitbus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/goswale/swale/bus"
)

// served counts how often each request was begun.
type served struct {
	mu    sync.Mutex
	begun map[string]int
}

func (s *served) begin(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[id]++
}

// twice lists what was begun more often than once.
func (s *served) twice() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.begun {
		if n > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// homes are the nodes of the group's queues, by the queue's name.
func (c *cluster) homes(t *testing.T, ask *broker, d *conn) map[string]*broker {
	t.Helper()
	homes := make(map[string]*broker)
	for line := range strings.Lines(ask.control(t, "list_queues", "--no-table-headers", "name", "pid", "consumers")) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] == "0" {
			continue
		}
		for i := range places {
			if fields[0] != d.names.servers("s", "g", i) {
				continue
			}
			for _, b := range c.nodes {
				if strings.Contains(fields[1], b.node) {
					homes[fields[0]] = b
				}
			}
		}
	}
	return homes
}

// TestServersTakeAnotherPlace kills the node that has the queue of a group of servers,
// and then the one that has the next queue while the first is back. Those who ask are
// answered, or told that nobody serves, and no request is begun twice.
func TestServersTakeAnotherPlace(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	from, d := c.bus(t, 0)
	s := &served{begun: make(map[string]int)}
	entered, release := make(chan struct{}), make(chan struct{})
	serve := func(i int) {
		t.Helper()
		b, _ := c.bus(t, i)
		_, err := b.Serve(soon(t), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) {
			s.begin(e.ID)
			if e.Subject == "wait" {
				entered <- struct{}{}
				<-release
			}
			return e, nil
		}, nil)
		must(t, err, "Serve")
	}
	for i := range c.nodes {
		serve(i)
	}
	home := c.homes(t, c.nodes[0], d)[d.names.servers("s", "g", 0)]
	if home != c.nodes[1] { // where the first server consumes; it publishes to the node before
		t.Fatalf("the queue is on %v", home)
	}

	n := 0
	ask := func() error {
		n++
		e, err := from.Request(soon(t), "s", bus.Event{ID: strconv.Itoa(n), Type: "t"})
		if err == nil && e.ID != strconv.Itoa(n) {
			t.Errorf("request %d was given the answer to %s", n, e.ID)
		}
		return err
	}
	works := func(when string) {
		t.Helper()
		for over := soon(t); ; breathe() {
			err := ask()
			if err == nil {
				break
			}
			// One may have been on its way to the queue when that was lost.
			if home != c.nodes[0] && !errors.Is(err, bus.ErrNoResponders) && !errors.Is(err, errGone) {
				t.Errorf("%s a request fails with %v", when, err)
			}
			if over.Err() != nil {
				t.Fatalf("requests must work again %s: %v", when, err)
			}
		}
		for range 50 {
			must(t, ask(), "Request "+when)
		}
	}
	works("in a cluster")

	waiting := make(chan error, 3)
	for i := range cap(waiting) {
		go func() {
			_, err := from.Request(patient(t), "s", bus.Event{ID: "waits" + strconv.Itoa(i), Type: "t", Subject: "wait"})
			waiting <- err
		}()
		<-entered
	}
	home.end(t, syscall.SIGKILL)
	works("without the node of the queue")
	close(release)
	for range cap(waiting) { // by a server that was connected to that node, too
		must(t, <-waiting, "a request that was begun before its queue was lost")
	}
	home.start(t)
	works("when the node is back")
	serve(0)
	works("with another server")
	homes := c.homes(t, c.nodes[0], d)
	if len(homes) != 1 {
		t.Fatalf("servers work on one queue, not on %v", slices.Collect(maps.Keys(homes)))
	}
	bound := 0
	for line := range strings.Lines(c.nodes[0].control(t, "list_bindings", "source_name", "destination_name")) {
		if strings.HasPrefix(line, d.names.group("s", "g")+"\t") {
			bound++
		}
	}
	if bound != 1 {
		t.Errorf("%d queues get the requests of a group", bound)
	}
	for _, home = range homes {
		home.end(t, syscall.SIGKILL)
		works("without the node of the second queue")
		home.start(t)
	}
	if ids := s.twice(); ids != nil {
		t.Errorf("requests %v were begun twice", ids)
	}
}
