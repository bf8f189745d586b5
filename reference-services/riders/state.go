package riders

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goswale/swale/hal"
)

// The values of Rider.Status.
const (
	Off  = "off"
	Free = "free"
	Busy = "busy"
)

// Rider is a rider as it is served, beside its links: order when it is busy, and a
// link for each transition that is possible.
type Rider struct {
	Links  hal.Links `json:"_links,omitzero"`
	ID     string    `json:"id,omitempty"`
	Name   string    `json:"name"`
	Status string    `json:"status"`
	Area   string    `json:"area,omitempty"` // a geohash of the last position, some 5 km across
}

// joining is what a new rider sends.
type joining struct {
	Name string `json:"name" prompt:"Name" form:"required,maxlength=100"`
}

// Validate returns what is wrong with it, or nil.
func (j *joining) Validate() []hal.FieldError {
	if strings.TrimSpace(j.Name) == "" || utf8.RuneCountInString(j.Name) > 100 || strings.ContainsFunc(j.Name, unicode.IsControl) {
		return []hal.FieldError{{Pointer: "#/name", Detail: "A rider has a name of at most 100 characters on one line."}}
	}
	return nil
}

// state is what is stored of a rider.
type state struct {
	Rider
	OrderHref string `json:"order_href,omitempty"`
}

func join(j joining) state { return state{Rider: Rider{Name: j.Name, Status: Off}} }

func (s state) String() string { return s.Status }

// List is the list of riders with this status.
func (s state) List() string { return s.Status }
