package outbox_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/outbox"
)

// TestCrashAtEveryStep kills relay after relay at every step that a relay has, and
// expects that nothing is lost, nothing is reordered, and that what is published
// twice has the same number both times.
func TestCrashAtEveryStep(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		for _, step := range []string{"number", "numbered", "publish", "published", "remove", "watermark"} {
			t.Run(step, func(t *testing.T) { crashAt(t, on, step) })
		}
	})
}

func crashAt(t *testing.T, on database, step string) {
	t.Helper()
	box := on.outbox(t, &outbox.Options{Table: "crash_" + step})
	b := newBus(t, nil)
	records := map[string]*record{"a": recording(t, b, "a"), "b": recording(t, b, "b")}
	opts := &outbox.RelayOptions{
		Batch: 2, LeaderTTL: 400 * time.Millisecond, WatermarkInterval: 5 * time.Millisecond,
		Watermark: watermarks("relay"), Listen: on.listen,
	}
	want := map[string][]string{}
	put := func(round, n int) {
		for i := range n {
			for topic := range records {
				id := fmt.Sprintf("%s-%d-%d", topic, round, i)
				add(t, box, topic, id)
				want[topic] = append(want[topic], id)
			}
		}
	}
	for round := range 4 {
		put(round, 7)
		var steps atomic.Int32
		r := outbox.NewRelay(box, b, opts)
		r.SetFault(func(s string) error {
			// In each round one time later, except that removing happens once. Who is
			// dead stays so: a relay that has just lost its lead tries again.
			if s == step && (step == "remove" || int(steps.Add(1)) > round) {
				return errKilled
			}
			return nil
		})
		if err := r.Run(t.Context()); !errors.Is(err, errKilled) {
			t.Fatalf("round %d: Run returned %v; the test was to kill it", round, err)
		}
	}
	put(9, 3)
	running(t, outbox.NewRelay(box, b, opts))
	for topic, rec := range records {
		events := rec.await(t, "all events of "+topic, atLeast(len(want[topic])))
		if diff := cmp.Diff(want[topic], first(t, events)); diff != "" {
			t.Errorf("topic %s: a crash at %q changed what is published or its order (-committed +published):\n%s", topic, step, diff)
		}
		for i, e := range events {
			if e.Type == "watermark" && number(t, e) > uint64(len(first(t, events[:i]))) {
				t.Errorf("a watermark names number %d before it was published%s", number(t, e), describe(events[:i+1]))
			}
		}
	}
	eventually(t, "published rows to be removed", func() bool {
		backlog, err := box.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return backlog.Rows == 0
	})
}
