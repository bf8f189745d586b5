package orders

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mmcloughlin/geohash"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/owner"
)

// The values of Order.Status.
const (
	Placed    = "placed"
	Accepted  = "accepted"
	Ready     = "ready"
	Collected = "collected"
	Delivered = "delivered"
	Cancelled = "cancelled"
)

// Order is an order as it is served, beside its links: restaurant, rider when it
// has one, and a link for each transition that is possible.
type Order struct {
	Links      hal.Links `json:"_links,omitzero"`
	ID         string    `json:"id,omitempty"`
	Status     string    `json:"status"`
	Restaurant struct {
		Name string `json:"name"`
	} `json:"restaurant"`
	Area       string   `json:"area"` // a geohash of the drop-off, some 5 km across
	Dropoff    Location `json:"dropoff"`
	TotalCents int64    `json:"total_cents"`
	Times
}

// Times are when what happened; zero has not.
type Times struct {
	PlacedAt    time.Time `json:"placed_at,omitzero"`
	PromisedAt  time.Time `json:"promised_at,omitzero"`
	AcceptedAt  time.Time `json:"accepted_at,omitzero"`
	ReadyAt     time.Time `json:"ready_at,omitzero"`
	CollectedAt time.Time `json:"collected_at,omitzero"`
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
}

// Location is a place, in degrees (WGS 84).
type Location struct {
	Lat float64 `json:"lat" prompt:"Latitude, in degrees" form:"min=-90,max=90"`
	Lon float64 `json:"lon" prompt:"Longitude, in degrees" form:"min=-180,max=180"`
}

// placing is what a customer sends.
type placing struct {
	Restaurant struct {
		Href string `json:"href" prompt:"The restaurant's URL" form:"required,type=url"`
		Name string `json:"name" prompt:"Its name" form:"required,maxlength=200"`
	} `json:"restaurant"`
	Dropoff    Location  `json:"dropoff"`
	TotalCents int64     `json:"total_cents" prompt:"What it costs, in cents" form:"required,min=0,max=1000000"`
	PromisedAt time.Time `json:"promised_at,omitzero" prompt:"When it is promised; default: in 45 minutes"`
}

// Bounds on when an order may be promised.
const (
	promiseDefault = 45 * time.Minute
	promiseMost    = 24 * time.Hour
)

// Validate returns what is wrong with it, or nil.
func (p *placing) Validate() []hal.FieldError {
	errs := owner.Href("#/restaurant/href", p.Restaurant.Href)
	wrong := func(pointer, format string, args ...any) {
		errs = append(errs, hal.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	name := p.Restaurant.Name
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > 200 || strings.ContainsFunc(name, unicode.IsControl) {
		wrong("#/restaurant/name", "A restaurant has a name of at most 200 characters on one line.")
	}
	errs = append(errs, owner.Place("#/dropoff", p.Dropoff.Lat, p.Dropoff.Lon)...)
	if p.TotalCents < 0 || p.TotalCents > 1_000_000 {
		wrong("#/total_cents", "It is %d; it must be between 0 and 1000000.", p.TotalCents)
	}
	if until := time.Until(p.PromisedAt); !p.PromisedAt.IsZero() && (until <= 0 || until > promiseMost) {
		wrong("#/promised_at", "It must be within the next %v.", promiseMost)
	}
	return errs
}

// state is what is stored of an order.
type state struct {
	Order
	RestaurantHref string `json:"restaurant_href"`
	RiderHref      string `json:"rider_href,omitempty"`
}

// place makes an order of what a customer sent.
func place(p placing) state {
	var s state
	s.Status, s.PlacedAt, s.PromisedAt = Placed, now(), p.PromisedAt.UTC().Truncate(time.Millisecond)
	if p.PromisedAt.IsZero() {
		s.PromisedAt = s.PlacedAt.Add(promiseDefault)
	}
	s.RestaurantHref, s.Restaurant.Name = p.Restaurant.Href, p.Restaurant.Name
	s.Dropoff, s.TotalCents = p.Dropoff, p.TotalCents
	s.Area = geohash.EncodeWithPrecision(p.Dropoff.Lat, p.Dropoff.Lon, 5)
	return s
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (s state) String() string { return s.Status }

// List is the list of open orders, or that of those that are over.
func (s state) List() string {
	if s.Status == Delivered || s.Status == Cancelled {
		return "over"
	}
	return "open"
}
