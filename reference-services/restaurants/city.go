package restaurants

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
)

// Generate fills the service with a made-up city of n restaurants. The same
// seed makes the same city.
func (s *Service) Generate(ctx context.Context, n int, seed uint64) (ImportReport, error) {
	c := newCity(seed)
	return s.load(ctx, func() (Restaurant, error) {
		if c.made == n {
			return Restaurant{}, io.EOF
		}
		return c.restaurant(), nil
	}, nil)
}

// city makes restaurants up, street by street.
type city struct {
	rand *rand.Rand
	made int
}

func newCity(seed uint64) *city { return &city{rand: rand.New(rand.NewPCG(seed, 0))} }

// A district is a place that restaurants crowd around, in degrees.
type district struct {
	name     string
	lat, lon float64
	spread   float64
}

var (
	districts = []district{
		{"Harbour", 40.7040, -74.0110, 0.004},
		{"Old Town", 40.7210, -73.9970, 0.006},
		{"Garden Hill", 40.7430, -73.9890, 0.007},
		{"Millbank", 40.7580, -73.9680, 0.006},
		{"Northgate", 40.7840, -73.9530, 0.009},
	}
	streets  = []string{"Alder", "Bridge", "Canal", "Dock", "Elm", "Foundry", "Granary", "Harbour", "Ivy", "Juniper", "Kiln", "Linden", "Market", "Orchard", "Poplar", "Quarry", "River", "Saddler", "Tanner", "Weaver"}
	kinds    = []string{"Street", "Street", "Street", "Lane", "Road", "Square"}
	cuisines = []string{"Bakery", "Burgers", "Caribbean", "Chinese", "Coffee", "Ethiopian", "French", "Georgian", "Greek", "Indian", "Italian", "Japanese", "Korean", "Lebanese", "Mexican", "Persian", "Peruvian", "Pizza", "Thai", "Vegetarian", "Vietnamese"}
	firsts   = []string{"Amber", "Blue", "Copper", "Crooked", "Early", "First", "Golden", "Green", "Happy", "Late", "Little", "Long", "Lucky", "Old", "Quiet", "Red", "Salt", "Silver", "Slow", "Twin", "Warm", "Wild"}
	lasts    = []string{"Anchor", "Basil", "Bowl", "Cellar", "Clove", "Corner", "Fig", "Fork", "Hearth", "Heron", "Kettle", "Ladle", "Lantern", "Lemon", "Oven", "Pepper", "Plate", "Spoon", "Table", "Thyme", "Whisk"}
)

func (c *city) restaurant() Restaurant {
	c.made++
	d := districts[c.rand.IntN(len(districts))]
	cuisine := pick(c.rand, cuisines)
	name := "The " + pick(c.rand, firsts) + " " + pick(c.rand, lasts)
	if c.rand.IntN(3) == 0 {
		name = pick(c.rand, firsts) + " " + pick(c.rand, lasts) + " " + cuisine
	}
	status := StatusOpen
	if c.rand.IntN(12) == 0 {
		status = StatusClosed
	}
	return Restaurant{ID: fmt.Sprintf("city-%05d", c.made), State: State{
		Name: name, Cuisine: cuisine, Borough: d.name,
		Address: Address{
			Building: fmt.Sprint(1 + c.rand.IntN(280)),
			Street:   pick(c.rand, streets) + " " + pick(c.rand, kinds),
			Zipcode:  fmt.Sprintf("10%03d", c.rand.IntN(300)),
		},
		Location: Location{
			Lat: d.lat + c.rand.NormFloat64()*d.spread,
			Lon: d.lon + c.rand.NormFloat64()*d.spread,
		},
		Status: status, PrepMinutes: 5 + c.rand.IntN(40),
	}}
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
