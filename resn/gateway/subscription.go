package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/goswale/swale/resn"
)

// asked is the body of a subscription. A member that isn't here is an error, as
// at Routemaster.
type asked struct {
	Topics        []string `json:"topics"`
	Callback      string   `json:"callback"`
	UUID          *string  `json:"uuid"`
	DeliveryToken *string  `json:"delivery_token"` // uuid's later name
	Timeout       *int64   `json:"timeout"`
	Max           *int64   `json:"max"`

	// These are ours.
	Format Format   `json:"format"`
	Types  []string `json:"types"`
}

// Defaults of a subscription, which are Routemaster's.
const (
	defaultDeadline = 500 * time.Millisecond
	defaultMax      = 100
)

// subscribe makes or replaces the client's subscription. When it answers, the
// queues of all topics stand.
func (g *Gateway) subscribe(w http.ResponseWriter, r *http.Request, c client) error {
	var a asked
	if err := readStrict(r, &a); err != nil {
		return err
	}
	sub, err := g.subscriptionOf(c.ID, &a)
	if err != nil {
		return bad(err.Error())
	}
	for _, topic := range sub.Topics {
		if err := g.authorize(r, c, Subscribe, topic); err != nil {
			return err
		}
	}
	if sub.Format.cloudEvents() {
		if sub.Rate, err = g.greet(r.Context(), &sub); err != nil {
			return bad("the callback doesn't take part: " + err.Error())
		}
	}
	for _, topic := range sub.Topics {
		if _, err := g.store.ClaimTopic(r.Context(), topic, ""); err != nil {
			return err
		}
	}
	if err := g.store.PutSubscription(r.Context(), sub); err != nil {
		return err
	}
	if err := g.refresh(r.Context(), c.ID); err != nil {
		return err
	}
	return noContent(w)
}

// subscriptionOf checks what was asked for.
func (g *Gateway) subscriptionOf(subscriber string, a *asked) (Subscription, error) {
	s := Subscription{Subscriber: subscriber, Deadline: defaultDeadline, Max: defaultMax, Format: a.Format, Types: slices.Clone(a.Types)}
	if a.Topics == nil {
		return s, errors.New("need an array of topics")
	}
	for _, topic := range a.Topics {
		if err := (resn.Event{Topic: topic, Type: resn.Noop, Href: "https://localhost/"}).Validate(); err != nil {
			return s, fmt.Errorf("bad topic %.80q", topic)
		}
	}
	s.Topics = slices.Compact(slices.Sorted(slices.Values(a.Topics)))
	callback, credential, err := g.opts.Callbacks.check(a.Callback)
	if err != nil {
		return s, err
	}
	s.Callback = callback
	for _, given := range []*string{a.DeliveryToken, a.UUID} {
		if given != nil {
			credential = *given
		}
	}
	if len(credential) > maxURL {
		return s, fmt.Errorf("uuid has %d bytes; at most %d are allowed", len(credential), maxURL)
	}
	s.Credential = g.secrets.close(subscriber, credential)
	if a.Timeout != nil {
		if *a.Timeout < 0 || *a.Timeout > maxDeadline.Milliseconds() {
			return s, fmt.Errorf("timeout is %d; it must be 0 to %d milliseconds", *a.Timeout, maxDeadline.Milliseconds())
		}
		s.Deadline = time.Duration(*a.Timeout) * time.Millisecond
	}
	if a.Max != nil {
		if *a.Max < 1 || *a.Max > maxBatch {
			return s, fmt.Errorf("max is %d; it must be 1 to %d", *a.Max, maxBatch)
		}
		s.Max = int(*a.Max)
	}
	return s, s.checkOurs()
}

// checkOurs checks the members that Routemaster doesn't know.
func (s *Subscription) checkOurs() error {
	switch s.Format {
	case "":
		s.Format = Routemaster
	case Routemaster, CloudEventsBatch, CloudEventsStructured, CloudEventsBinary:
	default:
		return fmt.Errorf("format is %.80q; it must be %s, %s, %s or %s", s.Format, Routemaster, CloudEventsBatch, CloudEventsStructured, CloudEventsBinary)
	}
	for _, kind := range s.Types {
		if kind != resn.Create && kind != resn.Update && kind != resn.Delete && kind != resn.Noop {
			return fmt.Errorf("types has %.80q; they must be create, update, delete or noop", kind)
		}
	}
	slices.Sort(s.Types)
	s.Types = slices.Compact(s.Types)
	return nil
}

func (g *Gateway) unsubscribe(w http.ResponseWriter, r *http.Request, c client) error {
	if err := g.store.RemoveSubscription(r.Context(), c.ID); errors.Is(err, fs.ErrNotExist) {
		return &statusError{http.StatusNotFound, "subscriber not found"}
	} else if err != nil {
		return err
	}
	if err := g.refresh(r.Context(), c.ID); err != nil {
		return err
	}
	return noContent(w)
}

func (g *Gateway) unsubscribeTopic(w http.ResponseWriter, r *http.Request, c client) error {
	if err := g.store.LeaveTopic(r.Context(), c.ID, r.PathValue("topic")); errors.Is(err, fs.ErrNotExist) {
		return &statusError{http.StatusNotFound, "not subscribed"}
	} else if err != nil {
		return err
	}
	if err := g.refresh(r.Context(), c.ID); err != nil {
		return err
	}
	return noContent(w)
}

// subscriptionInfo is a subscription in GET /subscriptions.
type subscriptionInfo struct {
	Subscriber string     `json:"subscriber"`
	Callback   string     `json:"callback"`
	MaxEvents  int        `json:"max_events"`
	Timeout    int64      `json:"timeout"`
	Topics     []string   `json:"topics"`
	Events     eventsInfo `json:"events"`

	// These are ours.
	Format   Format `json:"format"`
	Failures int    `json:"failures"`
	Paused   string `json:"paused,omitempty"`
}

type eventsInfo struct {
	Sent   int64  `json:"sent"`
	Queued *int   `json:"queued"` // null if the bus can't say
	Oldest *int64 `json:"oldest"` // seconds since 1970
}

// listSubscriptions shows neither tokens nor credentials.
func (g *Gateway) listSubscriptions(w http.ResponseWriter, r *http.Request, _ client) error {
	subs, err := g.store.Subscriptions(r.Context())
	if err != nil {
		return err
	}
	names, err := g.names(r)
	if err != nil {
		return err
	}
	workers := *g.seen.Load()
	list := make([]subscriptionInfo, len(subs))
	for i, s := range subs {
		info := subscriptionInfo{
			Subscriber: names[s.Subscriber], Callback: s.Callback, MaxEvents: s.Max, Timeout: s.Deadline.Milliseconds(),
			Topics: s.Topics, Format: s.Format, Paused: s.Paused,
			Events: eventsInfo{Sent: s.Sent + g.sent.get(s.Subscriber)},
		}
		if queued, err := g.queued(r.Context(), &s); err == nil {
			info.Events.Queued = &queued
		}
		if info.Topics == nil {
			info.Topics = []string{}
		}
		if worker := workers[s.Subscriber]; worker != nil {
			state := worker.state()
			info.Failures = state.Failures
			if !state.Oldest.IsZero() {
				at := state.Oldest.Unix()
				info.Events.Oldest = &at
			}
		}
		list[i] = info
	}
	return writeJSON(w, http.StatusOK, list)
}

// queued counts what the bus keeps for a subscriber. A queue that isn't there,
// because its gateway is about to make it, is empty.
func (g *Gateway) queued(ctx context.Context, s *Subscription) (int, error) {
	total := 0
	for _, topic := range s.Topics {
		n, err := g.bus.Backlog(ctx, topic, group(s.Subscriber))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return total, err
		}
		total += n
	}
	return total, nil
}
