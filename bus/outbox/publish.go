package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goswale/swale/bus"
)

// The extensions that the relay sets.
const (
	// ExtSequence is the number of an event in its topic and epoch, in 20 decimal
	// digits, so that the order of the texts is that of the numbers.
	ExtSequence = "sequence"
	// ExtEpoch is what the number counts in.
	ExtEpoch = "epoch"
)

// publish does a job. It runs on a goroutine of its own.
func (r *Relay) publish(ctx context.Context, j job) result {
	res := result{topic: j.topic, rows: len(j.rows), at: j.at}
	if len(j.rows) > 0 {
		res.published, res.err = r.publishRows(ctx, j)
		if res.err != nil {
			return res
		}
	}
	if !j.mark {
		return res
	}
	// T stays true however late it is said, because j.sequence and T come from the
	// same reading. But it is of no use when it is old, and whoever took over says
	// a newer one.
	if time.Since(j.confirmed) > r.opts.LeaderTTL {
		return res
	}
	if res.err = r.step("watermark"); res.err != nil {
		return res
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.PublishTimeout)
	defer cancel()
	event := r.opts.Watermark(j.name, Watermark{Epoch: j.epoch, Sequence: j.sequence, Time: j.at.t})
	res.err = r.bus.Publish(ctx, j.name, event)
	res.marked = res.err == nil
	return res
}

func (r *Relay) publishRows(ctx context.Context, j job) (published uint64, err error) {
	events := make([]bus.Event, len(j.rows))
	for i, row := range j.rows {
		e := &events[i]
		if err := e.UnmarshalJSON([]byte(row.Event)); err != nil {
			return 0, fmt.Errorf("row with number %d is no event: %w", row.Sequence, err)
		}
		e.SetExtension(ExtSequence, fmt.Sprintf("%020d", row.Sequence))
		e.SetExtension(ExtEpoch, j.epoch)
	}
	if err := r.step("publish"); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.PublishTimeout)
	defer cancel()
	err = r.bus.Publish(ctx, j.name, events...)
	if crash := r.step("published"); crash != nil {
		return 0, crash
	}
	if err == nil {
		return j.rows[len(j.rows)-1].Sequence, nil
	}
	var partial *bus.PublishError
	if errors.As(err, &partial) && len(partial.Failed) > 0 && partial.Failed[0].Index > 0 {
		published = j.rows[partial.Failed[0].Index-1].Sequence
	}
	return published, err
}
