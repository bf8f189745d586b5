package riders

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/owner"
	"github.com/goswale/swale/resn"
)

// Topic is what changes are announced on.
const Topic = "riders"

// Options configure a Service.
type Options = owner.Options

// Service is the riders service. It is safe for concurrent use.
type Service struct {
	*owner.Collection[state]
	positions *resn.Stream[Position]
}

// errand is what take takes.
type errand struct {
	Order string `json:"order" prompt:"The order's URL" form:"required,type=url"`
}

// Validate returns what is wrong with it, or nil.
func (e *errand) Validate() []hal.FieldError { return owner.Href("#/order", e.Order) }

// transitions are all that can become of a rider, and when.
func transitions() []owner.Transition[state] {
	to := func(status string) func(state, owner.None) state {
		return func(s state, _ owner.None) state {
			s.Status, s.OrderHref = status, ""
			return s
		}
	}
	is := func(status string) func(state) bool {
		return func(s state) bool { return s.Status == status }
	}
	return []owner.Transition[state]{
		owner.On("start", "The rider comes on duty", is(Off), to(Free)),
		owner.On("stop", "The rider goes off duty", is(Free), to(Off)),
		owner.On("take", "The rider takes an order", is(Free), func(s state, e errand) state {
			s.Status, s.OrderHref = Busy, e.Order
			return s
		}),
		owner.On("release", "The rider is done with the order", is(Busy), to(Free)),
	}
}

// onDuty reports whether positions are taken.
func (s state) onDuty() bool { return s.Status != Off }

// New returns the service on db, whose tables it makes if need be, and b. The
// caller runs Run beside serving [Service.Handler].
func New(ctx context.Context, db *sql.DB, b *bus.Bus, opts *Options) (*Service, error) {
	s := &Service{}
	var err error
	if s.positions, err = Positions(ctx, b); err != nil {
		return nil, err
	}
	s.Collection, err = owner.New(ctx, db, b, Topic, transitions(), s.view, opts)
	return s, err
}

// view is a rider on the wire.
func (s *Service) view(i owner.Item[state], links hal.Links) any {
	r := i.State.Rider
	if i.State.OrderHref != "" {
		links.Set("order", hal.To(i.State.OrderHref))
	}
	if i.State.onDuty() {
		links.Set("position", hal.Link{Href: s.URL(i.ID, "position"), Title: "Where the rider is; POST says so"})
	}
	r.Links, r.ID = links, i.ID
	return r
}

// Handler returns the HTTP API. Its root leads to everything by links.
func (s *Service) Handler() http.Handler {
	var links hal.Links
	links.Set("self", s.At("/"))
	links.Set("riders", s.At("/riders{?page,size}"))
	links.Set("riders-free", s.At("/riders/free{?page,size}"))
	links.Set("rider", s.At("/riders/{id}"))
	form := hal.FormOf("default", http.MethodPost, joining{})
	form.Title, form.Target = "Join the riders", s.At("/riders").Href
	title := func(r state) string { return r.Name + ", " + r.Status }
	mux := s.Mux()
	mux.Handle("GET /{$}", s.Root(links))
	mux.Handle("GET /riders", s.List("", title, form))
	mux.Handle("GET /riders/free", s.List(Free, title))
	mux.Handle("POST /riders", owner.Make(s.Collection, join))
	mux.Handle("GET /riders/{id}/position", s.position)
	mux.Handle("POST /riders/{id}/position", s.move)
	return mux
}
