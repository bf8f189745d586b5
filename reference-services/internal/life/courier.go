package life

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/goswale/swale/hal"
)

// courier is where a rider is, and what keeps them.
type courier struct {
	href, name string
	chance     *rand.Rand
	at         place
	placed     bool // at is known

	story   *story // of the order under way; nil if it is from yesterday
	stuck   time.Time
	notDone time.Time
}

var names = []string{"Ada", "Bo", "Cleo", "Dev", "Eli", "Fay", "Gus", "Hal", "Ines", "Jo", "Kai", "Lou", "Mia", "Nils", "Oda", "Pia", "Quinn", "Rui", "Sol", "Tove", "Uma", "Vic", "Wim", "Xia", "Yun", "Zoe"}

// hire finds the riders that there are, and hires those that are missing. Until all
// owners have answered it is tried again.
func (l *Life) hire(ctx context.Context) {
	if err := l.staff(ctx); err != nil {
		l.in(2*time.Second, l.hire)
	}
}

func (l *Life) staff(ctx context.Context) error {
	root, err := hal.Get[hal.Any](ctx, l.client, l.opts.Riders)
	if err != nil {
		return err
	}
	first, err := l.client.Resolve(root, "riders")
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, c := range l.couriers {
		known[c.href] = true
	}
	for page, err := range hal.Pages[hal.Any](ctx, l.client, first) {
		if err != nil {
			return err
		}
		for _, r := range hal.FollowAll[rider](ctx, l.client, page, "item") {
			if r.Err != nil {
				return r.Err
			}
			if !known[r.Resource.URL] {
				l.join(r.Resource)
			}
		}
	}
	for len(l.couriers) < l.opts.Couriers {
		n := len(l.couriers)
		name := names[n%len(names)]
		if n >= len(names) {
			name += " " + string(rune('A'+n/len(names)%26)) + "."
		}
		made, err := hal.PostTo[rider](ctx, l.client, root, "riders", rider{Name: name})
		if err != nil {
			return err
		}
		l.join(made)
	}
	return nil
}

func (l *Life) join(r *hal.Resource[rider]) {
	n := len(l.couriers)
	c := &courier{href: r.URL, name: r.Value.Name, chance: l.chance(1<<34 + uint64(n))}
	l.couriers = append(l.couriers, c)
	// Not all of them at once.
	l.in(l.minutes(c.chance.Float64()), func(ctx context.Context) { l.ride(ctx, c) })
}

// dispatch gives an order to the nearest rider who can take one.
func (l *Life) dispatch(ctx context.Context, o *hal.Resource[order], s *story) {
	from, err := hal.Follow[restaurant](ctx, l.client, o, "restaurant")
	if err != nil {
		return
	}
	var nearest *courier
	var as *hal.Resource[rider]
	for _, c := range l.couriers {
		if !c.placed || nearest != nil && c.at.far(from.Value.Location) >= nearest.at.far(from.Value.Location) {
			continue
		}
		if r, err := hal.Get[rider](ctx, l.client, c.href); err == nil && can(r, "take") {
			nearest, as = c, r
		}
	}
	if nearest == nil {
		if !s.called {
			l.tell("city", "has no rider free", s.number)
		}
		s.called = true
		return
	}
	if _, err := act(ctx, l, as, "take", map[string]string{"order": s.href}); err != nil {
		return
	}
	nearest.story = s
	nearest.stuck, nearest.notDone = time.Time{}, time.Time{}
	// If this fails, the rider finds that the order is not theirs, and releases it.
	if _, err := act(ctx, l, o, "assign", map[string]string{"rider": nearest.href}); err == nil {
		l.tell(nearest.name, "takes it", s.number)
	}
}

// ride is a minute of a rider.
func (l *Life) ride(ctx context.Context, c *courier) {
	next := 1.0
	defer func() { l.in(l.minutes(next), func(ctx context.Context) { l.ride(ctx, c) }) }()
	r, err := hal.Get[rider](ctx, l.client, c.href)
	if err != nil {
		return
	}
	if !c.placed { // the first minute of the day
		if can(r, "start") {
			if r, err = act(ctx, l, r, "start", nil); err != nil {
				return
			}
		}
		if c.placed = l.begin(ctx, c, r); !c.placed {
			return
		}
	}
	if !can(r, "position") {
		return // somebody has sent them home
	}
	if can(r, "order") {
		l.deliver(ctx, c, r)
	} else { // waits, and goes about
		next = 4
		c.at.Lat += c.chance.NormFloat64() * degreesEach
		c.at.Lon += c.chance.NormFloat64() * degreesEach
	}
	_, _ = hal.PostTo[hal.Any](ctx, l.client, r, "position", c.at) // there will be another
}

// begin puts a rider where they were last seen, or else at some restaurant.
func (l *Life) begin(ctx context.Context, c *courier, r *hal.Resource[rider]) bool {
	if seen, err := hal.Follow[place](ctx, l.client, r, "position"); err == nil {
		c.at = seen.Value
		return true
	}
	at, _, err := l.restaurant(ctx, c.chance.Float64(), c.chance.Float64())
	c.at = at.Location
	return err == nil
}

// deliver is a minute of a rider who has an order. Where it goes and what can be done
// with it the order says.
func (l *Life) deliver(ctx context.Context, c *courier, r *hal.Resource[rider]) {
	number := 0
	if c.story != nil {
		number = c.story.number
	}
	o, err := hal.Follow[order](ctx, l.client, r, "order")
	if errors.Is(err, fs.ErrNotExist) {
		l.finish(ctx, c, r, number)
		return
	}
	if err != nil {
		return
	}
	if !can(o, "cancel") || leads(o, "rider") != c.href { // over, or somebody else's
		l.finish(ctx, c, r, number)
		return
	}
	if time.Now().Before(c.stuck) {
		return
	}
	if can(o, "deliver") {
		if c.stuck.IsZero() {
			if c.stuck = time.Now(); c.chance.Float64() < pStuck {
				c.stuck = c.stuck.Add(l.minutes(stuckFor))
				l.tell(c.name, "is stuck", number)
				return
			}
		}
		if !c.at.towards(o.Value.Dropoff) {
			return
		}
		if _, err := act(ctx, l, o, "deliver", nil); err == nil {
			l.tell(c.name, "delivers", number)
			l.finish(ctx, c, r, number)
		}
		return
	}
	from, err := hal.Follow[restaurant](ctx, l.client, o, "restaurant")
	if err != nil || !c.at.towards(from.Value.Location) || !can(o, "collect") {
		return
	}
	if _, err := act(ctx, l, o, "collect", nil); err == nil {
		l.tell(c.name, "collects", number)
	}
}

// finish has a rider say that they are done, sooner or later.
func (l *Life) finish(ctx context.Context, c *courier, r *hal.Resource[rider], number int) {
	if c.notDone.IsZero() {
		if c.notDone = time.Now(); c.chance.Float64() < pNotDone {
			c.notDone = c.notDone.Add(l.minutes(notDoneFor))
			l.tell(c.name, "forgets to say that it is done", number)
		}
	}
	if time.Now().Before(c.notDone) {
		return
	}
	if _, err := act(ctx, l, r, "release", nil); err == nil {
		c.notDone, c.story = time.Time{}, nil
		l.tell(c.name, "is free", number)
	}
}

// far is how far it is, in degrees; near enough for a city.
func (p place) far(to place) float64 { return math.Hypot(p.Lat-to.Lat, p.Lon-to.Lon) }

// towards comes nearer by a minute, and reports whether it has arrived.
func (p *place) towards(to place) bool {
	d := p.far(to)
	if d <= degreesEach {
		*p = to
		return true
	}
	p.Lat += (to.Lat - p.Lat) / d * degreesEach
	p.Lon += (to.Lon - p.Lon) / d * degreesEach
	return false
}
