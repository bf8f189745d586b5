package storefront

import "strings"

// Relations that are followed. This service knows no path of another service.
const (
	relSearch = "restaurants" // from the root of the restaurants service, templated
	relItem   = "item"        // from a list to its members (RFC 6573)
)

// Restaurant is what is read of a restaurant: what is shown. The rest is passed
// over.
type Restaurant struct {
	Name        string   `json:"name"`
	Cuisine     string   `json:"cuisine"`
	Borough     string   `json:"borough"`
	Address     Address  `json:"address"`
	Location    Location `json:"location"`
	Status      string   `json:"status"` // "closed" is shown, anything else isn't
	PrepMinutes int      `json:"prep_minutes"`
}

// Closed says whether it takes no orders now.
func (r *Restaurant) Closed() bool { return r.Status == "closed" }

// Address is where a restaurant is, in words.
type Address struct {
	Building string `json:"building"`
	Street   string `json:"street"`
	Zip      string `json:"zipcode"`
}

// Location is where a restaurant is, in degrees (WGS 84).
type Location struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// String returns the address on one line, without what is missing.
func (a Address) String() string {
	return strings.Join(strings.Fields(a.Building+" "+a.Street+" "+a.Zip), " ")
}

// list is what is read of a list of restaurants: its links.
type list struct{}
