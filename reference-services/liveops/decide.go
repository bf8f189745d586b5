package liveops

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"time"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// decide looks at an order and makes of it what the rules say: it is all that
// notices, deadlines, new rules and walks lead to. It reads anew what it judges, one
// after the other for each order, so that who comes last writes what is newest; and
// what it writes, it writes with its notices in one transaction, before the notice
// that led here is acknowledged. whom is a rider who may have to do with it, or "".
func (s *Service) decide(ctx context.Context, href, whom string) error {
	unlock, err := s.locks.lock(ctx, href)
	if err != nil {
		return err
	}
	defer unlock()
	if s.rules.Load() == nil {
		return errNoRules
	}
	o, err := read[order](ctx, s, href)
	if err != nil {
		return fmt.Errorf("liveops: order %s: %w", href, err)
	}
	known, err := riderOf(ctx, s.db, href)
	if err != nil {
		return err
	}
	for _, r := range []string{whom, known} {
		if o.link(relRider) == "" && r != "" && o.Status == "cancelled" {
			o.Links.Set(relRider, hal.To(r)) // it has been taken from the rider, who may not know
		}
	}
	var r *rider
	if at := o.link(relRider); at != "" && o.Status == "cancelled" && s.asks(at) {
		got, err := read[rider](ctx, s, at)
		if err != nil {
			return fmt.Errorf("liveops: rider %s: %w", at, err)
		}
		r = &got
	}
	err = s.box.InTx(ctx, func(tx *sql.Tx) error { return s.write(ctx, tx, href, &o, r, time.Now()) })
	if err != nil {
		return fmt.Errorf("liveops: issues of %s: %w", href, err)
	}
	s.poke() // another deadline may be the next
	return nil
}

// errNoRules is the error while there are no rules yet: who comes then comes again.
var errNoRules = errors.New("liveops: there are no rules yet")

// read reads a resource through the cache that its owner's notices keep coherent.
// One that is gone is the zero value: nothing is wrong with it.
func read[T any](ctx context.Context, s *Service, href string) (T, error) {
	got, err := hal.Get[T](ctx, s.api, href)
	if errors.Is(err, fs.ErrNotExist) {
		var none T
		return none, nil
	}
	if err != nil {
		var none T
		return none, err
	}
	return got.Value, nil
}

// asks reports whether a rider's owner is one that is asked. Who may write an order
// could lead elsewhere.
func (s *Service) asks(href string) bool {
	u, err := url.Parse(href)
	return err == nil && s.origins[u.Scheme+"://"+u.Host]
}

// write brings the issues of an order to what the rules say now.
func (s *Service) write(ctx context.Context, tx *sql.Tx, href string, o *order, r *rider, now time.Time) error {
	have, err := issuesOf(ctx, tx, href)
	if err != nil {
		return err
	}
	verdicts := judge(o, href, r, s.rules.Load(), now)
	var next time.Time
	open := false
	said := make(map[string]*verdict, len(verdicts)) // by id
	for n := range verdicts {
		v := &verdicts[n]
		said[issueID(v.kind, href, milli(v.since))] = v
		next = earliest(next, v.next)
	}
	// What is resolved goes first, so that at no moment two of a kind are open.
	for _, i := range have {
		v := said[i.id]
		if v == nil {
			v = &verdict{gone: true} // the order is gone, or another time of the same has begun
		}
		delete(said, i.id)
		after := *i
		after.take(v, now)
		if after.resolved == 0 {
			after.describe(o)
			open = true
		}
		if after == *i {
			continue
		}
		if err := s.put(ctx, tx, &after, resn.Update, now); err != nil {
			return err
		}
	}
	for n := range verdicts {
		v := &verdicts[n]
		id := issueID(v.kind, href, milli(v.since))
		if said[id] == nil || !v.issue {
			continue
		}
		i := &issue{id: id, kind: v.kind, order: href, since: milli(v.since)}
		i.describe(o)
		i.take(v, now)
		open = open || i.resolved == 0
		if err := s.put(ctx, tx, i, resn.Create, now); err != nil {
			return err
		}
	}
	riderHref := o.link(relRider)
	if open || o.Status != "" && !o.over() || o.Status == "cancelled" && r.busyWith() == href {
		return watch(ctx, tx, href, riderHref, milli(next))
	}
	return unwatch(ctx, tx, href)
}

// take makes the issue what a verdict says. What an operator has resolved stays so
// for as long as the trouble lasts, and what was acknowledged stays acknowledged.
func (i *issue) take(v *verdict, now time.Time) {
	switch {
	case i.resolvedBy == byOperator:
	case v.issue && v.resolved.IsZero():
		i.resolved, i.resolvedBy = 0, ""
		i.severity, i.why, i.opened = v.severity, v.why, milli(v.opened)
	case i.resolved != 0: // and over
	case v.issue:
		i.severity, i.why, i.opened = v.severity, v.why, milli(v.opened)
		i.resolved, i.resolvedBy = milli(v.resolved), byCause
	case v.gone:
		i.resolved, i.resolvedBy = milli(now), byCause
	default:
		i.resolved, i.resolvedBy = milli(now), byRules
	}
}

// describe notes about an issue what is known of its order.
func (i *issue) describe(o *order) {
	if o.Status == "" {
		return // it is gone
	}
	i.rider, i.restaurant, i.restaurantName = o.link(relRider), o.link(relRestaurant), o.Restaurant.Name
	i.area, i.place, i.remedies = o.Area, "", encodeRemedies(o.remedies())
	if o.Dropoff != nil {
		place, _ := json.Marshal(o.Dropoff) // numbers
		i.place = string(place)
	}
}

// put saves an issue and announces it, in one transaction.
func (s *Service) put(ctx context.Context, tx *sql.Tx, i *issue, kind string, now time.Time) error {
	if err := save(ctx, tx, i); err != nil {
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "issue", slog.String("kind", i.kind), slog.String("order", i.order), slog.String("status", i.status()))
	return s.announce(ctx, tx, kind, s.itemURL(i.id), s.etag(i.version), now)
}
