package rabbitbus

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// TestClockOfTheBrokerSetBack sets the clock of a node back by an hour, as it looks
// through libfaketime, while events are published. It has the machine for itself, as
// far as this package is concerned: with others' clusters starting, a node that asks a
// file for the time is slow enough to lose connections by their heartbeats.
func TestClockOfTheBrokerSetBack(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		const why = "libfaketime is not installed: no clock was set back"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	node := newBrokers(t, 1)[0]
	clock := filepath.Join(node.dir, "clock")
	set := func(to string) {
		t.Helper()
		must(t, os.WriteFile(clock+".new", []byte(to), 0o600), "write")
		must(t, os.Rename(clock+".new", clock), "rename")
	}
	set("+0")
	node.env = append(node.env, "LD_PRELOAD="+found[0], "FAKETIME_TIMESTAMP_FILE="+clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
	node.start(t)
	s := newSpaceAt(t, node.url())
	b := s.bus(t, Options{Heartbeat: 2 * time.Second}, "")
	var one, all, values log
	_, err := b.Group(soon(t), "t", "g", one.handle, nil)
	must(t, err, "Group")
	_, err = b.Broadcast(soon(t), "t", all.broadcast(), nil)
	must(t, err, "Broadcast")
	stream, err := b.Stream(soon(t), "v", nil)
	must(t, err, "Stream")
	_, err = stream.Broadcast(soon(t), values.broadcast(), nil)
	must(t, err, "Broadcast of a stream")
	_, err = b.Serve(soon(t), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil)
	must(t, err, "Serve")
	n := 0
	some := func(when string) {
		t.Helper()
		for range 20 {
			must(t, b.Publish(soon(t), "t", event(n)), "Publish "+when)
			must(t, stream.Publish(soon(t), event(n)), "Publish to the stream "+when)
			_, err := b.Request(soon(t), "s", event(n))
			must(t, err, "Request "+when)
			n++
		}
	}
	behind := func() time.Duration {
		seconds, err := strconv.ParseInt(strings.TrimSpace(node.control(t, "eval", "os:system_time(second).")), 10, 64)
		must(t, err, "the node's clock")
		return time.Since(time.Unix(seconds, 0))
	}
	some("before")
	set("-1h")
	if d := behind(); d < 50*time.Minute {
		t.Fatalf("the node's clock is %v behind: nothing was tried", d)
	}
	some("with the clock set back")
	<-time.After(7 * time.Second) // more than three heartbeats
	some("a while later")
	latest, err := stream.Latest(soon(t), "k")
	must(t, err, "Latest")
	if latest.ID != strconv.Itoa(n-1) {
		t.Errorf("the latest is %s; want %d", latest.ID, n-1)
	}
	for _, l := range []*log{&one, &all, &values} {
		lines := l.until(t, "everything comes", has(strconv.Itoa(n-1)))
		inOrder(t, lines, n)
		if has("lost")(lines) {
			t.Errorf("the connection outlives a clock that is set back: %q", lines)
		}
	}
}
