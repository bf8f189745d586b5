package natsbus_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// some returns the events from one number to before another.
func some(from, to int) []bus.Event {
	events := make([]bus.Event, 0, to-from)
	for i := from; i < to; i++ {
		events = append(events, event(i))
	}
	return events
}

// Events published together cost an answer to every many of them, unless the
// stream doesn't allow it. Either way they are all there, once and in order.
func TestPublishTogether(t *testing.T) {
	const n = 300
	for name, set := range map[string]struct {
		binary, allowed, revoked bool
	}{
		"as a batch":           {allowed: true},
		"in binary mode":       {allowed: true, binary: true},
		"an operator's stream": {},
		"revoked meanwhile":    {allowed: true, revoked: true},
	} {
		t.Run(name, func(t *testing.T) {
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
			config := jetstream.StreamConfig{Name: "swale-events", Subjects: []string{"swale.e.0.>"}, AllowDirect: true}
			if !set.allowed {
				if _, err := js.CreateStream(t.Context(), config); err != nil {
					t.Fatal(err)
				}
			}
			b := openBus(t, server.URL(), &natsbus.Options{Bus: bus.Options{Binary: set.binary}})
			if set.revoked {
				if _, err := js.UpdateStream(t.Context(), config); err != nil {
					t.Fatal(err)
				}
			}
			var all record
			if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
				t.Fatal(err)
			}
			var answers atomic.Int64
			if _, err := raw.Subscribe("_INBOX.>", func(m *nats.Msg) {
				if strings.Contains(string(m.Data), `"swale-events"`) || strings.HasPrefix(string(m.Data), `{"type":`) {
					answers.Add(1)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if err := raw.Flush(); err != nil {
				t.Fatal(err)
			}
			for from := 0; from < n; from += n / 3 {
				if err := b.Publish(t.Context(), "orders", some(from, from+n/3)...); err != nil {
					t.Fatal(err)
				}
			}
			lines := all.until(t, "every event", has("299"))
			whole(t, lines, n)
			if got := len(lines); got != n+1 { // and "live"
				t.Errorf("%d lines of %d events: none comes twice on a good day", got, n)
			}
			if got := answers.Load(); (got < n/4) != (set.allowed && !set.revoked) {
				t.Errorf("JetStream answered %d times to %d events", got, n)
			}
		})
	}
}

// A connection that is cut amid a batch costs time, and no event is overtaken.
func TestCutAmidABatch(t *testing.T) {
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from, to := openBus(t, p.url(), nil), openBus(t, server.URL(), nil)
	var all record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	const n, cuts = 12_000, 3
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range cuts {
			if err := from.Publish(ctx, "orders", some(i*n/cuts, (i+1)*n/cuts)...); err != nil {
				t.Errorf("a cut within the publisher's patience costs time, not events: %v", err)
			}
		}
	}()
	for i := range cuts {
		all.until(t, "some of a batch", func(lines []string) bool { return len(lines) > i*n/cuts+n/cuts/4 })
		p.set(true, false)
		p.set(false, false)
	}
	<-done
	whole(t, all.until(t, "every event", has("11999")), n)
}

// What is confirmed while leaders change is there, in order.
func TestLeaderChangeAmidBatches(t *testing.T) {
	c := startCluster(t)
	var all record
	if _, err := c.bus.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	raw, err := nats.Connect(c.url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	const n, changes, batch = 1800, 3, 200
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for change := range changes {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := change * n / changes; i < (change+1)*n/changes; i += batch {
				if err := c.bus.Publish(ctx, "orders", some(i, i+batch)...); err != nil {
					t.Errorf("a change of leaders costs time, not events: %v", err)
					return
				}
			}
		}()
		m, err := raw.Request("$JS.API.STREAM.LEADER.STEPDOWN.swale-events", nil, patience)
		if err != nil || !bytes.Contains(m.Data, []byte(`"success":true`)) {
			t.Fatalf("step down: %v: %s", err, m.Data)
		}
		<-done
	}
	lines := all.until(t, "every event", has("1799"))
	whole(t, lines, n)
	if has("resumed with a hole")(lines) {
		t.Error("a change of leaders leaves no hole")
	}
}
