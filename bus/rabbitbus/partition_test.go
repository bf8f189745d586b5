package rabbitbus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// cutOff has a node and the others refuse each other, as if the network between them
// were cut, or lets them meet again.
func (c *cluster) cutOff(t *testing.T, alone *broker, cut bool) {
	t.Helper()
	var others []string
	for _, b := range c.nodes {
		if b != alone {
			others = append(others, "'"+b.node+"'")
		}
	}
	cookie := "erlang:get_cookie()"
	if cut {
		cookie = "swaleaway"
	}
	alone.control(t, "eval", fmt.Sprintf("[begin erlang:set_cookie(N, %s), erlang:disconnect_node(N) end || N <- [%s]].", cookie, strings.Join(others, ",")))
}

// TestPartition cuts the node off that leads the group's queues, with a bus that
// knows no other.
func TestPartition(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "cluster_partition_handling = pause_minority")
	first, d := c.bus(t, 0)
	topics := []string{"major", "minor"} // where their publisher is
	for _, topic := range topics {
		must(t, d.CreateGroup(soon(t), topic, "g"), "CreateGroup")
	}
	alone := c.leader(t, c.nodes[0], d.names.queue("minor", "g"))
	var urls []string
	for _, b := range c.nodes {
		if b != alone {
			urls = append(urls, b.url())
		}
	}
	major, _ := c.busAt(t, urls...)
	minor, _ := c.busAt(t, alone.url())
	var one [2]log      // by topic
	var heard [2][2]log // by side and topic
	for side, b := range []*bus.Bus{major, minor} {
		for i, topic := range topics {
			_, err := b.Group(soon(t), topic, "g", one[i].handle, nil)
			must(t, err, "Group")
			_, err = b.Broadcast(soon(t), topic, heard[side][i].broadcast(), nil)
			must(t, err, "Broadcast")
		}
	}

	var end atomic.Bool
	var next [2]atomic.Int64
	published := make(chan error, 2)
	for i, b := range []*bus.Bus{major, minor} {
		go func() {
			for !end.Load() {
				if err := b.Publish(patient(t), topics[i], event(int(next[i].Load()))); err != nil {
					published <- err
					return
				}
				next[i].Add(1)
				breathe()
			}
			published <- nil
		}()
	}
	goesOn := func(i int, logs ...*log) {
		t.Helper()
		mark := strconv.FormatInt(next[i].Load()+10, 10)
		for _, l := range logs {
			l.until(t, "events of "+topics[i]+" come", has(mark))
		}
	}
	for i := range topics {
		goesOn(i, &one[i], &heard[0][i], &heard[1][i])
	}

	c.cutOff(t, alone, true)
	for i := range topics {
		heard[1][i].until(t, "a broadcast behind the cut says that it may miss something", has("lost"))
	}
	goesOn(0, &one[0], &heard[0][0]) // the majority goes on
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := minor.Publish(short, "minor", bus.Event{ID: "unsure", Type: "t"}); err == nil {
		t.Error("behind the cut nothing is confirmed")
	}

	c.cutOff(t, alone, false)
	for i := range topics {
		heard[1][i].until(t, "a broadcast behind the cut says that something may be missing", has("resumed with a hole"))
		goesOn(i, &one[i], &heard[0][i], &heard[1][i])
	}
	end.Store(true)
	for range topics {
		must(t, <-published, "Publish over a partition")
	}
	for i, topic := range topics {
		last := int(next[i].Load())
		must(t, first.Publish(soon(t), topic, event(last)), "Publish")
		one[i].until(t, "the last event arrives", has(strconv.Itoa(last)))
		inOrder(t, slices.DeleteFunc(one[i].all(), func(id string) bool { return id == "unsure" }), last+1)
		for side := range heard {
			heard[side][i].until(t, "the last event is broadcast", has(strconv.Itoa(last)))
			holesAreTold(t, heard[side][i].all(), last+1)
		}
	}
}
