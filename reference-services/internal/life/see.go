package life

import (
	"context"
	"net/http"
	"time"

	"github.com/goswale/swale/hal"
)

// place is where something is, in degrees.
type place struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// order is what is read of an order: when it is promised, where it goes. What can be
// done with it is among its links.
type order struct {
	PromisedAt time.Time `json:"promised_at"`
	Dropoff    place     `json:"dropoff"`
}

// rider is what is read of a rider.
type rider struct {
	Name string `json:"name"`
}

// restaurant is what is read of a restaurant.
type restaurant struct {
	Name        string  `json:"name"`
	Status      string  `json:"status"`
	Location    place   `json:"location"`
	PrepMinutes float64 `json:"prep_minutes"`
}

// can reports whether a document links to what is to be done.
func can(doc hal.Linked, rel string) bool {
	_, ok := doc.Links().Get(rel)
	return ok
}

// leads returns where a relation of a document leads, "" if it has none.
func leads(doc hal.Linked, rel string) string {
	link, _ := doc.Links().Get(rel)
	return link.Href
}

// act does what a document links to, if it is still what was read.
func act[T any](ctx context.Context, l *Life, doc *hal.Resource[T], rel string, body any) (*hal.Resource[T], error) {
	if body == nil {
		body = struct{}{}
	}
	return hal.PostTo[T](ctx, l.client.With(http.Header{"If-Match": {doc.ETag}}), doc, rel, body)
}
