package life

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/goswale/swale/hal"
)

// until is how long it is until somebody orders.
func (l *Life) until() time.Duration {
	return time.Duration(l.rand.ExpFloat64() / l.opts.PerMinute * float64(time.Minute))
}

// order is a customer who orders at some restaurant that is open. One who can't goes
// without.
func (l *Life) order(ctx context.Context) {
	l.in(l.until(), l.order)
	c := l.chance(1<<32 + l.rand.Uint64N(1<<32)) // drawn whether it comes to something or not
	at, href, err := l.restaurant(ctx, c.Float64(), c.Float64())
	if err != nil || at.Status != "open" {
		return
	}
	root, err := hal.Get[hal.Any](ctx, l.client, l.opts.Orders)
	if err != nil {
		return
	}
	var body struct {
		Restaurant struct {
			Href string `json:"href"`
			Name string `json:"name"`
		} `json:"restaurant"`
		Dropoff    place     `json:"dropoff"`
		TotalCents int       `json:"total_cents"`
		PromisedAt time.Time `json:"promised_at"`
	}
	body.Restaurant.Href, body.Restaurant.Name = href, at.Name
	body.Dropoff = place{at.Location.Lat + c.NormFloat64()/100, at.Location.Lon + c.NormFloat64()/100}
	body.TotalCents = 900 + c.IntN(50)*100
	body.PromisedAt = time.Now().Add(l.minutes(promise))
	key := fmt.Sprintf(`"life-%d-%x"`, time.Now().UnixNano(), c.Uint64())
	made, err := hal.PostTo[order](ctx, l.client.With(http.Header{"Idempotency-Key": {key}}), root, "orders", body)
	if err != nil {
		return // if it was placed after all, look finds it
	}
	l.tell("customer", "orders at "+at.Name, l.seen+1)
	l.adopt(made.URL)
}

// restaurant returns one of them, chosen by two numbers below 1: the page and the
// place on it.
func (l *Life) restaurant(ctx context.Context, page, place float64) (restaurant, string, error) {
	root, err := hal.Get[hal.Any](ctx, l.client, l.opts.Restaurants)
	if err != nil {
		return restaurant{}, "", err
	}
	const size = 50
	first, err := hal.Follow[hal.Collection[hal.Any]](ctx, l.client, root, "restaurants", hal.V("size", size))
	if err != nil {
		return restaurant{}, "", err
	}
	n := 1 + int(page*float64(max(1, (first.Value.Total+size-1)/size)))
	list, err := hal.Follow[hal.Any](ctx, l.client, root, "restaurants", hal.V("size", size), hal.V("page", n))
	if err != nil {
		return restaurant{}, "", err
	}
	items := list.Links().All("item")
	if len(items) == 0 {
		return restaurant{}, "", fmt.Errorf("no restaurants on page %d", n)
	}
	found, err := hal.Get[restaurant](ctx, l.client, items[int(place*float64(len(items)))].Href)
	if err != nil {
		return restaurant{}, "", err
	}
	return found.Value, found.URL, nil
}

// look looks at the open orders, and has those looked after that nobody knows:
// those of yesterday, and those that somebody else has placed.
func (l *Life) look(ctx context.Context) {
	l.in(l.minutes(4), l.look)
	root, err := hal.Get[hal.Any](ctx, l.client, l.opts.Orders)
	if err != nil {
		return
	}
	first, err := l.client.Resolve(root, "orders-open")
	if err != nil {
		return
	}
	for page, err := range hal.Pages[hal.Any](ctx, l.client, first) {
		if err != nil {
			return
		}
		for _, link := range page.Links().All("item") {
			if l.stories[link.Href] == nil {
				l.tell("city", "sees an order", l.seen+1)
				l.adopt(link.Href)
			}
		}
	}
}
