package restaurants

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/goswale/swale/hal"
)

// document is a restaurant as clients send it: its state, and beside it what
// they got from us and may send back unchanged. Anything else is refused, so
// that a misspelt member doesn't pass for a change.
type document struct {
	State
	Links     json.RawMessage `json:"_links,omitempty"`
	ID        string          `json:"id,omitempty"`
	Geohash   string          `json:"geohash,omitempty"`
	Version   int64           `json:"version,omitempty"`
	UpdatedAt time.Time       `json:"updated_at,omitzero"`
}

func documentOf(r Restaurant) document {
	return document{State: r.State, ID: r.ID, Geohash: r.Geohash, Version: r.Version, UpdatedAt: r.UpdatedAt}
}

// Validate returns what is wrong with the document, or nil.
func (d *document) Validate() []hal.FieldError { return d.State.Validate() }

// keeps refuses a document that changes what only the service may.
func (d *document) keeps(current Restaurant) error {
	var errs []hal.FieldError
	if d.ID != "" && d.ID != current.ID {
		errs = append(errs, hal.FieldError{Pointer: "#/id", Detail: "The id doesn't change."})
	}
	if d.Version != 0 && d.Version != current.Version {
		errs = append(errs, hal.FieldError{Pointer: "#/version", Detail: "The version is counted by the service."})
	}
	if len(errs) == 0 {
		return nil
	}
	return invalid(errs...)
}

func invalid(errs ...hal.FieldError) error {
	p := hal.NewProblem(http.StatusUnprocessableEntity, "The document sets what the service sets.")
	p.Errors = errs
	return p
}
