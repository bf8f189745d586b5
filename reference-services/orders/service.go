package orders

import (
	"context"
	"database/sql"
	"net/http"
	"slices"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/owner"
)

// Topic is what changes are announced on.
const Topic = "orders"

// Options configure a Service.
type Options = owner.Options

// Service is the orders service. It is safe for concurrent use.
type Service struct{ *owner.Collection[state] }

// assignment is what assign takes.
type assignment struct {
	Rider string `json:"rider" prompt:"The rider's URL" form:"required,type=url"`
}

// Validate returns what is wrong with it, or nil.
func (a *assignment) Validate() []hal.FieldError { return owner.Href("#/rider", a.Rider) }

// transitions are all that can become of an order, and when.
func transitions() []owner.Transition[state] {
	in := func(statuses ...string) func(state) bool {
		return func(s state) bool { return slices.Contains(statuses, s.Status) }
	}
	becomes := func(status string, at func(*Times) *time.Time) func(state, owner.None) state {
		return func(s state, _ owner.None) state {
			s.Status, *at(&s.Times) = status, now()
			return s
		}
	}
	return []owner.Transition[state]{
		owner.On("accept", "The kitchen takes it on", in(Placed),
			becomes(Accepted, func(t *Times) *time.Time { return &t.AcceptedAt })),
		owner.On("ready", "It can be collected", in(Accepted),
			becomes(Ready, func(t *Times) *time.Time { return &t.ReadyAt })),
		owner.On("assign", "A rider shall bring it", in(Accepted, Ready),
			func(s state, a assignment) state {
				s.RiderHref = a.Rider
				return s
			}),
		owner.On("collect", "Its rider has it",
			func(s state) bool { return s.Status == Ready && s.RiderHref != "" },
			becomes(Collected, func(t *Times) *time.Time { return &t.CollectedAt })),
		owner.On("deliver", "The customer has it", in(Collected),
			becomes(Delivered, func(t *Times) *time.Time { return &t.DeliveredAt })),
		owner.On("cancel", "It won't be delivered", in(Placed, Accepted, Ready, Collected),
			becomes(Cancelled, func(t *Times) *time.Time { return &t.CancelledAt })),
	}
}

// view is an order on the wire.
func view(i owner.Item[state], links hal.Links) any {
	o := i.State.Order
	links.Set("restaurant", hal.Link{Href: i.State.RestaurantHref, Title: o.Restaurant.Name})
	if i.State.RiderHref != "" {
		links.Set("rider", hal.To(i.State.RiderHref))
	}
	o.Links, o.ID = links, i.ID
	return o
}

// New returns the service on db, whose tables it makes if need be, and b. The
// caller runs Run beside serving [Service.Handler].
func New(ctx context.Context, db *sql.DB, b *bus.Bus, opts *Options) (*Service, error) {
	c, err := owner.New(ctx, db, b, Topic, transitions(), view, opts)
	if err != nil {
		return nil, err
	}
	return &Service{c}, nil
}

// Handler returns the HTTP API. Its root leads to everything by links.
func (s *Service) Handler() http.Handler {
	var links hal.Links
	links.Set("self", s.At("/"))
	links.Set("orders", s.At("/orders{?page,size}"))
	links.Set("orders-open", s.At("/orders/open{?page,size}"))
	links.Set("order", s.At("/orders/{id}"))
	form := hal.FormOf("default", http.MethodPost, placing{})
	form.Title, form.Target = "Place an order", s.At("/orders").Href
	title := func(o state) string { return o.Status + ", " + o.Restaurant.Name }
	mux := s.Mux()
	mux.Handle("GET /{$}", s.Root(links))
	mux.Handle("GET /orders", s.List("", title, form))
	mux.Handle("GET /orders/open", s.List("open", title))
	mux.Handle("POST /orders", owner.Make(s.Collection, place))
	return mux
}
