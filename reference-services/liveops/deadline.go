package liveops

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// keepTime waits for the next deadline of all orders, with one timer, and looks at
// the orders whose deadline has come. When it is is in the database, so a process
// that begins knows what the one before was waiting for.
func (s *Service) keepTime(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
			return nil
		}
		wait, err := s.meet(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "deadlines can't be met yet", "error", err)
			wait = s.opts.Retry
		}
		timer.Reset(wait)
	}
}

// forever is how long the timer waits when nothing is due.
const forever = 24 * time.Hour

// meet looks at what is due, and returns how long it is until something else is. An
// order that couldn't be looked at stays due.
func (s *Service) meet(ctx context.Context) (wait time.Duration, err error) {
	// Deadlines are in whole milliseconds. One is met when it is past, not before.
	hrefs, err := watched(ctx, s.db, dueOrders, time.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	if err := s.look(ctx, hrefs); err != nil {
		return 0, err
	}
	next, err := nextDue(ctx, s.db)
	if err != nil || next == 0 {
		return forever, err
	}
	return max(time.Until(time.UnixMilli(next)), 0), nil
}

// obey looks at every order under watch each time that there are other rules.
func (s *Service) obey(ctx context.Context) error {
	for {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
		for {
			hrefs, err := watched(ctx, s.db, everyOrder)
			if err == nil {
				err = s.look(ctx, hrefs)
			}
			if err == nil || ctx.Err() != nil {
				break
			}
			s.log.WarnContext(ctx, "new rules can't be applied to all orders yet", "error", err)
			select {
			case <-time.After(s.opts.Retry):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// look decides about orders, several at once. One that fails doesn't keep the others
// from it.
func (s *Service) look(ctx context.Context, hrefs []string) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, href := range hrefs {
		g.Go(func() error { return s.decide(ctx, href, "") })
	}
	return g.Wait()
}

// poke has the next deadline read anew.
func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
