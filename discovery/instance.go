package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/goswale/swale/discovery/driver"
)

// Health is what is known of an instance's fitness to serve.
type Health string

// The states of health. An instance without one is serving.
const (
	Serving  Health = "serving"
	Failing  Health = "failing"  // it says so itself, or a checker got no answer
	Draining Health = "draining" // it finishes what it has and wants nothing new
)

// An Instance is one running process of a service.
type Instance struct {
	// Service is the name that callers use as a URL's host: a DNS label.
	Service string `json:"service"`
	// Version is what bindings tell apart, such as "1.4.0". It may be empty.
	Version string `json:"version,omitempty"`
	// ID tells the instances of a service apart: letters, digits, '-' and '_'.
	// Register makes one up if it is empty.
	ID string `json:"id"`
	// Zone and Region say where it runs; callers prefer their own zone.
	Zone   string `json:"zone,omitempty"`
	Region string `json:"region,omitempty"`
	// Endpoints are the ways to reach it, at least one.
	Endpoints []Endpoint `json:"endpoints"`
	// Attributes are whatever else others may want to know. Not secret.
	Attributes map[string]string `json:"attributes,omitempty"`
	// Started is when the process began; Register fills it in.
	Started time.Time `json:"started,omitzero"`
	// Health is what the instance says of itself or, in a View, what a checker
	// says when that is worse.
	Health Health `json:"health,omitempty"`
	// Reason says in words why Health isn't Serving.
	Reason string `json:"reason,omitempty"`
}

// An Endpoint is one way to reach an instance.
type Endpoint struct {
	// Scheme is "http", "https", or the name of another transport, such as "bus".
	Scheme string `json:"scheme"`
	// Address is the host and port, or the name on the bus.
	Address string `json:"address"`
}

// Endpoint returns the address for the scheme, or "".
func (i *Instance) Endpoint(scheme string) string {
	for _, e := range i.Endpoints {
		if e.Scheme == scheme {
			return e.Address
		}
	}
	return ""
}

// Equal reports whether both say the same.
func (i *Instance) Equal(o *Instance) bool {
	return i.Service == o.Service && i.Version == o.Version && i.ID == o.ID && i.Zone == o.Zone && i.Region == o.Region &&
		i.Health == o.Health && i.Reason == o.Reason && i.Started.Equal(o.Started) &&
		slices.Equal(i.Endpoints, o.Endpoints) && maps.Equal(i.Attributes, o.Attributes)
}

func (i *Instance) key() driver.Key {
	return driver.Key{Kind: driver.Instances, Service: i.Service, ID: i.ID}
}

func (i *Instance) clone() Instance {
	c := *i
	c.Endpoints, c.Attributes = slices.Clone(i.Endpoints), maps.Clone(i.Attributes)
	return c
}

// ErrInvalidInstance is wrapped by the errors about instances that can't be
// registered as they are.
var ErrInvalidInstance = errors.New("invalid instance")

// Validate says what is wrong with the instance; the error wraps
// [ErrInvalidInstance].
func (i *Instance) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("discovery: %w: %s", ErrInvalidInstance, fmt.Sprintf(format, args...))
	}
	switch {
	case !ValidService(i.Service):
		return bad("service %q: use a DNS label: at most 63 lower-case letters, digits and '-'", i.Service)
	case !validID(i.ID):
		return bad("%s: id %q: use at most 128 letters, digits, '-' and '_'", i.Service, i.ID)
	case !validWord(i.Version) || i.Version == AnyOther:
		return bad("%s: version %q: use at most 128 visible characters", i.Service, i.Version)
	case !validWord(i.Zone) || !validWord(i.Region):
		return bad("%s: zone %q, region %q: use at most 128 visible characters", i.Service, i.Zone, i.Region)
	case i.Health != "" && i.Health != Serving && i.Health != Failing && i.Health != Draining:
		return bad("%s: health %q: it is serving, failing or draining", i.Service, i.Health)
	case len(i.Endpoints) == 0:
		return bad("%s: no endpoint: nobody could call it", i.Service)
	}
	for _, e := range i.Endpoints {
		if e.Scheme == "" || e.Address == "" || !validWord(e.Scheme) || !validWord(e.Address) || strings.ContainsAny(e.Address, "/?#@") {
			return bad("%s: endpoint %q %q: give a scheme and an address without a path", i.Service, e.Scheme, e.Address)
		}
	}
	return nil
}

// ValidService reports whether name can be a service's: a DNS label, lower case.
func ValidService(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func validID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i] | 0x20
		if (c < 'a' || c > 'z') && (id[i] < '0' || id[i] > '9') && id[i] != '-' && id[i] != '_' {
			return false
		}
	}
	return true
}

func validWord(s string) bool {
	return len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) < 0
}

// signed is the JSON of a record: a statement, the proof of who made it, and when
// that ends.
type signed struct {
	Statement json.RawMessage `json:"statement"`
	Until     int64           `json:"until,omitempty"` // milliseconds since 1970
	Proof     string          `json:"proof,omitempty"`
}

// mark is what a checker says about an instance.
type mark struct {
	// Removed hides the instance; otherwise it is shown as failing.
	Removed bool      `json:"removed,omitempty"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	By      string    `json:"by"`
}
