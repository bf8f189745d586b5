package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// DeadLetterType is the type of the events on a group's dead letter topic.
const DeadLetterType = "swale.deadletter"

// redriveGroup is the extension by which a redriven event says for which group it
// is; nobody else sees it.
const redriveGroup = "swaleredrive"

// redriver is the group that holds the dead letters. Its capitals keep it apart
// from every group of a program.
const redriver = "REDRIVE"

// DeadLetter is an event that a group gave up on.
type DeadLetter struct {
	// Topic and Group say whose it is.
	Topic, Group string
	// Reason is the last error's text.
	Reason string
	// Attempt is how many attempts were made; for a message that was no event, 0.
	Attempt int
	// Time is when the group gave up.
	Time time.Time
	// Original is the event. It is zero when what came was no valid event.
	Original Event
	// Body is the message as received when it was no valid event.
	Body []byte
}

// deadTopic names the topic of a group's dead letters, outside of CheckName's
// grammar, so that no program's topic is the same.
func deadTopic(topic, group string) string { return topic + ".DEAD." + group }

// event writes the dead letter as an event.
func (d *DeadLetter) event() (Event, error) {
	e := Event{
		ID: rand.Text(), Source: "/swale/bus", Type: DeadLetterType, Time: d.Time,
		Subject: d.Original.Subject,
		Extensions: map[string]string{
			"dltopic": d.Topic, "dlgroup": d.Group, "dlattempt": strconv.Itoa(d.Attempt), "dlreason": clean(d.Reason),
		},
	}
	if d.Original.ID == "" {
		e.DataContentType, e.Data = "application/octet-stream", d.Body
		return e, nil
	}
	body, err := d.Original.AppendJSON(nil)
	e.DataContentType, e.Data = driver.ContentTypeEvent, body
	return e, err
}

// fromEvent reads a dead letter.
func (d *DeadLetter) fromEvent(e *Event) error {
	if e.Type != DeadLetterType {
		return fmt.Errorf("%w: type %q on a dead letter topic", ErrInvalidEvent, e.Type)
	}
	*d = DeadLetter{Topic: e.Extensions["dltopic"], Group: e.Extensions["dlgroup"], Reason: e.Extensions["dlreason"], Time: e.Time}
	d.Attempt, _ = strconv.Atoi(e.Extensions["dlattempt"])
	if e.DataContentType != driver.ContentTypeEvent {
		d.Body = e.Data
		return nil
	}
	return json.Unmarshal(e.Data, &d.Original)
}

// clean makes an error's text a CloudEvents string of bounded length.
func clean(s string) string {
	const limit = 1024
	out := make([]rune, 0, min(len(s), limit))
	for _, r := range s {
		if !plain(string(r)) || r == 0xfffd {
			r = ' '
		}
		if out = append(out, r); len(out) == limit {
			break
		}
	}
	return string(out)
}

// bury publishes an item's dead letter.
func (g *member) bury(it *item) error {
	d := DeadLetter{Topic: g.topic, Group: g.group, Reason: it.bad.Error(), Time: time.Now().UTC()}
	if it.d.Event.ID == "" {
		d.Body = it.m.Body
	} else {
		d.Original, d.Attempt = it.d.Event, it.attempt
	}
	e, err := d.event()
	if err != nil {
		return err
	}
	b := g.bus
	if limit := b.opts.MaxEventBytes / 2; d.Body != nil && len(d.Body) > limit {
		e.Data = d.Body[:limit] // garbage over the limit can't be kept whole
	}
	var m driver.Message
	if err := b.encode(g.ctx, dead(g), &e, &m); err != nil && !errors.Is(err, ErrTooLarge) {
		return err // the driver's limit leaves room for the envelope
	}
	ctx, cancel := context.WithTimeout(g.ctx, b.opts.PublishTimeout)
	defer cancel()
	if !g.keeper.Load() {
		// The group that keeps dead letters must be there before the first of them.
		if err := b.driver.CreateGroup(ctx, dead(g), redriver); err != nil {
			return err
		}
		g.keeper.Store(true)
	}
	return b.publish(ctx, dead(g), []driver.Message{m}, b.driver.Publish)
}

func dead(g *member) string { return deadTopic(g.topic, g.group) }

// Verdict says what Redrive does with a dead letter.
type Verdict int

// The verdicts.
const (
	// Again publishes the original for the group that gave up on it. A message that
	// was no valid event stays.
	Again Verdict = iota
	// Keep leaves the dead letter where it is.
	Keep
	// Discard removes it.
	Discard
)

// RedriveOptions are the options of Bus.Redrive. The zero value is useful.
type RedriveOptions struct {
	// Limit bounds how many dead letters are looked at, the oldest first. Default 1000.
	Limit int
	// Choose judges each dead letter. Default: Again for all.
	Choose func(*DeadLetter) Verdict
}

// Redrive gives dead letters of the group back to it, and to nobody else: each
// original is published again, marked for that group. It returns how many were.
// Only one Redrive or DeadLetters per group should run at a time.
func (b *Bus) Redrive(ctx context.Context, topic, group string, opts *RedriveOptions) (int, error) {
	var o RedriveOptions
	if opts != nil {
		o = *opts
	}
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	again := 0
	err := b.deadLetters(ctx, topic, group, o.Limit, func(d *DeadLetter) (keep bool, err error) {
		verdict := Again
		if o.Choose != nil {
			verdict = o.Choose(d)
		}
		if verdict == Discard {
			return false, nil
		}
		if verdict == Keep || d.Original.ID == "" {
			return true, nil
		}
		e := d.Original.Clone()
		e.SetExtension(redriveGroup, group)
		if err := b.Publish(ctx, topic, e); err != nil {
			return true, err
		}
		again++
		return false, nil
	})
	if err != nil {
		return again, fmt.Errorf("bus: redrive %s of %s: %w", group, topic, err)
	}
	return again, nil
}

// DeadLetters returns up to limit of the group's dead letters, the oldest first,
// and leaves them where they are. Only one Redrive or DeadLetters per group
// should run at a time.
func (b *Bus) DeadLetters(ctx context.Context, topic, group string, limit int) ([]DeadLetter, error) {
	var all []DeadLetter
	err := b.deadLetters(ctx, topic, group, limit, func(d *DeadLetter) (bool, error) {
		all = append(all, *d)
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("bus: dead letters of %s of %s: %w", group, topic, err)
	}
	return all, nil
}

// deadLetters takes up to limit dead letters in hand, shows them to fn, and then
// gives back those to keep.
func (b *Bus) deadLetters(ctx context.Context, topic, group string, limit int, fn func(*DeadLetter) (keep bool, err error)) (err error) {
	if err := errors.Join(CheckName(topic), CheckName(group)); err != nil {
		return err
	}
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	name := deadTopic(topic, group)
	if err := b.driver.CreateGroup(ctx, name, redriver); err != nil {
		return err
	}
	n, err := b.driver.Backlog(ctx, name, redriver)
	if err != nil || n == 0 || limit <= 0 {
		return err
	}
	n = min(n, limit)
	in := make(chan driver.Delivery, n)
	sub, err := b.driver.Group(ctx, name, redriver, driver.GroupOptions{MaxInFlight: n, AckWait: 30 * time.Second},
		func(d driver.Delivery) {
			select {
			case in <- d:
			default:
				_ = d.Acker.Nack(0)
			}
		})
	if err != nil {
		return err
	}
	var kept []driver.Delivery
	defer func() {
		err = errors.Join(err, sub.Stop(ctx))
		close(in)
		for d := range in {
			kept = append(kept, d)
		}
		for _, d := range kept {
			err = errors.Join(err, d.Acker.Nack(0))
		}
		err = errors.Join(err, sub.Detach(ctx))
	}()
	for range n {
		var d driver.Delivery
		select {
		case d = <-in:
		case <-ctx.Done():
			return ctx.Err()
		}
		keep, err := show(&d, fn)
		if err != nil || keep {
			kept = append(kept, d)
		} else if err = d.Acker.Ack(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func show(d *driver.Delivery, fn func(*DeadLetter) (bool, error)) (keep bool, err error) {
	var e Event
	var letter DeadLetter
	if err := e.fromMessage(&d.Message); err != nil {
		return true, err
	}
	if err := letter.fromEvent(&e); err != nil {
		return true, err
	}
	return fn(&letter)
}

// Backlog returns how many events of the topic the group hasn't acked. It is what
// the broker has counted, which may trail by a moment.
func (b *Bus) Backlog(ctx context.Context, topic, group string) (int, error) {
	if err := errors.Join(CheckName(topic), CheckName(group)); err != nil {
		return 0, fmt.Errorf("bus: backlog: %w", err)
	}
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	n, err := b.driver.Backlog(ctx, topic, group)
	if err != nil {
		return 0, fmt.Errorf("bus: backlog of %s on %s: %w", group, topic, err)
	}
	return n, nil
}
