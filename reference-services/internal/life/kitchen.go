package life

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/goswale/swale/hal"
)

// How long things take, in minutes of the city, and how often they go wrong.
const (
	promise     = 40 // from the order to the door
	giveUp      = 30 // after that, a customer has had enough
	forgets     = 25 // a kitchen that forgets an order sees it then
	pForgets    = 0.05
	pSlow       = 0.06 // a kitchen takes three times as long
	pStuck      = 0.06 // a rider stands still on the way
	pNotDone    = 0.05 // a rider forgets to say that it is done
	stuckFor    = 30
	notDoneFor  = 15
	cookedSoon  = 8 // a rider is called so long before an order is ready
	cookMost    = 25
	degreesEach = 0.006 // that a rider comes in a minute, some 600 m
)

// story is what the city means to do about an order.
type story struct {
	href   string
	number int
	chance *rand.Rand

	acceptAt, readyAt time.Time
	called            bool // a rider
}

// adopt begins to look after an order that nobody knows.
func (l *Life) adopt(href string) {
	l.seen++
	s := &story{href: href, number: l.seen, chance: l.chance(1<<33 + uint64(l.seen))}
	l.stories[href] = s
	wait := 1 + 2*s.chance.Float64()
	if s.chance.Float64() < pForgets {
		wait = forgets
		l.tell("kitchen", "forgets it", s.number)
	}
	s.acceptAt = time.Now().Add(l.minutes(wait))
	l.in(l.minutes(1), func(ctx context.Context) { l.tend(ctx, s) })
}

// tend looks at an order once in a minute of the city, and does what is due and
// possible.
func (l *Life) tend(ctx context.Context, s *story) {
	o, err := hal.Get[order](ctx, l.client, s.href)
	if err == nil && !can(o, "cancel") { // nothing more can become of it
		delete(l.stories, s.href)
		return
	}
	l.in(l.minutes(1), func(ctx context.Context) { l.tend(ctx, s) })
	if err != nil {
		return
	}
	now := time.Now()
	switch {
	case now.After(o.Value.PromisedAt.Add(l.minutes(giveUp))):
		if _, err := act(ctx, l, o, "cancel", nil); err == nil {
			l.tell("customer", "cancels", s.number)
		}
	case can(o, "accept"):
		if now.Before(s.acceptAt) {
			return
		}
		if _, err := act(ctx, l, o, "accept", nil); err == nil {
			l.tell("kitchen", "accepts", s.number)
		}
	case s.readyAt.IsZero():
		s.readyAt = now.Add(l.cooks(ctx, o, s))
	case can(o, "ready") && !now.Before(s.readyAt):
		if _, err := act(ctx, l, o, "ready", nil); err == nil {
			l.tell("kitchen", "has it ready", s.number)
		}
	case can(o, "assign") && !can(o, "rider") && now.After(s.readyAt.Add(-l.minutes(cookedSoon))):
		l.dispatch(ctx, o, s)
	}
}

// cooks is how long the kitchen takes.
func (l *Life) cooks(ctx context.Context, o *hal.Resource[order], s *story) time.Duration {
	minutes := 10.0
	if at, err := hal.Follow[restaurant](ctx, l.client, o, "restaurant"); err == nil {
		minutes = min(at.Value.PrepMinutes, cookMost)
	}
	if s.chance.Float64() < pSlow {
		l.tell("kitchen", "is slow", s.number)
		minutes *= 3
	}
	return l.minutes(minutes * (0.8 + 0.4*s.chance.Float64()))
}
