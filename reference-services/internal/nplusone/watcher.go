package nplusone

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// watcher hears the notices of a topic over a subscription of its own and
// enters into the ledger since when this process has taken each in. The resn
// client has a subscription too, and two subscriptions needn't hear the same
// notice in the same microsecond; so a notice counts as taken in when both
// have it. It is the later of the two moments that a cache can be held to.
type watcher struct {
	sub    *bus.Subscription
	truth  *ledger
	tick   *activity
	topic  string
	client *resn.Client
}

func watch(ctx context.Context, b *bus.Bus, topic string, client *resn.Client, truth *ledger, tick *activity) (*watcher, error) {
	w := &watcher{truth: truth, tick: tick, topic: topic, client: client}
	sub, err := b.Broadcast(ctx, topic, bus.BroadcastHandler{Event: w.event, State: func(bus.State) {}}, nil)
	if err != nil {
		return nil, err
	}
	w.sub = sub
	return w, nil
}

// patience is how long a notice may take from one subscription to the other,
// on a machine that has other things to do: as long as a watermark vouches at
// the most. One that takes longer counts as taken in, because by then nothing
// may be served on the strength of not having heard it.
const patience = resn.DefaultLease + resn.DefaultClockTolerance

func (w *watcher) event(e bus.Event) {
	if !strings.HasPrefix(e.Type, "resn.") || e.Type == "resn.watermark" {
		return
	}
	seq, err := strconv.ParseUint(e.Extensions["sequence"], 10, 64)
	if err == nil {
		w.await(seq)
	}
	w.truth.notice(e.Subject, e.Extensions["etag"], time.Now())
	w.tick.events.Add(1)
}

// await waits until the resn client has taken in the notice of that number.
func (w *watcher) await(seq uint64) {
	begun := time.Now()
	for !w.taken(seq) {
		waited := time.Since(begun)
		switch {
		case waited > patience:
			return
		case waited < time.Millisecond:
			runtime.Gosched()
		default:
			<-time.After(100 * time.Microsecond)
		}
	}
}

func (w *watcher) taken(seq uint64) bool {
	for _, t := range w.client.Topics() {
		if t.Topic == w.topic {
			return t.Sequence >= seq
		}
	}
	return false
}
