package liveops

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/goswale/swale/hal"
)

// Relations that are followed. This service knows no path of another service.
const (
	relOpen       = "orders-open" // from the root of the orders service
	relRiders     = "riders"      // from the root of the riders service
	relRider      = "rider"       // from an order
	relOrder      = "order"       // from a rider
	relRestaurant = "restaurant"  // from an order
)

// remedies are the relations of an order that may help with an issue. They are
// there only while the order can do it, which is the owner's to say.
var remedies = []string{"accept", "ready", "assign", "collect", "deliver", "cancel"}

// order is what is read of an order.
type order struct {
	Links      hal.Links `json:"_links"`
	Status     string    `json:"status"`
	Restaurant struct {
		Name string `json:"name"`
	} `json:"restaurant"`
	Area    string `json:"area"`
	Dropoff *Place `json:"dropoff"`

	PlacedAt    time.Time `json:"placed_at"`
	PromisedAt  time.Time `json:"promised_at"`
	AcceptedAt  time.Time `json:"accepted_at"`
	ReadyAt     time.Time `json:"ready_at"`
	AssignedAt  time.Time `json:"assigned_at"`
	CollectedAt time.Time `json:"collected_at"`
	DeliveredAt time.Time `json:"delivered_at"`
	CancelledAt time.Time `json:"cancelled_at"`
}

// Place is somewhere, in degrees (WGS 84).
type Place struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

func (o *order) link(rel string) string {
	l, _ := o.Links.Get(rel)
	return l.Href
}

// over reports whether nothing more will become of the order.
func (o *order) over() bool { return o.Status == "delivered" || o.Status == "cancelled" }

// remedies returns the links by which something can be done about the order now.
func (o *order) remedies() []remedy {
	var found []remedy
	for _, rel := range remedies {
		if l, ok := o.Links.Get(rel); ok && !l.Templated {
			found = append(found, remedy{rel, l.Href, l.Title})
		}
	}
	return found
}

// remedy is a link of an order.
type remedy struct {
	Rel   string `json:"rel"`
	Href  string `json:"href"`
	Title string `json:"title,omitempty"`
}

func encodeRemedies(all []remedy) string {
	if len(all) == 0 {
		return "[]"
	}
	text, _ := json.Marshal(all) // strings
	return string(text)
}

// attributes are what rules may look at.
var attributes = []string{"area", "restaurant", "rider"}

func (o *order) attributes() map[string]string {
	return map[string]string{"area": o.Area, "restaurant": o.link(relRestaurant), "rider": o.link(relRider)}
}

// rider is what is read of a rider.
type rider struct {
	Links  hal.Links `json:"_links"`
	Status string    `json:"status"`
}

// busyWith returns the order that the rider has, or nothing.
func (r *rider) busyWith() string {
	if r == nil || r.Status != "busy" {
		return ""
	}
	l, _ := r.Links.Get(relOrder)
	return l.Href
}

// earliest returns the first of the times, zero if none has come.
func earliest(times ...time.Time) time.Time {
	times = slices.DeleteFunc(times, time.Time.IsZero)
	if len(times) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare)
}
