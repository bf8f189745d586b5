package liveops

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/hal"
)

// Issue is a live issue as it is served.
type Issue struct {
	Links hal.Links `json:"_links"`
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	// Severity is info, warning or critical.
	Severity string `json:"severity"`
	// Status is open, acknowledged or resolved.
	Status string `json:"status"`
	// Why is one sentence.
	Why string `json:"why"`

	OpenedAt       time.Time `json:"opened_at"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	ResolvedAt     time.Time `json:"resolved_at,omitzero"`
	// ResolvedBy is "cause" when it went by itself, "rules" when rules changed, and
	// "operator".
	ResolvedBy string `json:"resolved_by,omitempty"`

	Restaurant struct {
		Name string `json:"name,omitempty"`
	} `json:"restaurant,omitzero"`
	Area    string `json:"area,omitempty"`
	Dropoff *Place `json:"dropoff,omitempty"`
	Version int64  `json:"version"`
}

// Who may resolve an issue.
const (
	byCause    = "cause"
	byRules    = "rules"
	byOperator = "operator"
)

// issue is an issue as it is kept. Times are in Unix milliseconds, 0 for never.
type issue struct {
	id, kind, order string
	since           int64
	version         int64

	severity, why                  string
	opened, acknowledged, resolved int64
	resolvedBy                     string

	rider, restaurant, restaurantName, area string
	place                                   string // of the drop-off, as JSON; empty if unknown
	remedies                                string // as JSON
}

// issueID names the trouble that an order is in since a time: whoever finds it
// twice finds the same issue.
func issueID(kind, order string, since int64) string {
	sum := sha256.Sum256([]byte(kind + "\n" + order + "\n" + strconv.FormatInt(since, 10)))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

func (i *issue) status() string {
	switch {
	case i.resolved != 0:
		return "resolved"
	case i.acknowledged != 0:
		return "acknowledged"
	}
	return "open"
}

// document is the issue as it is served, with what can be done about it: while it
// isn't resolved.
func (s *Service) document(i *issue) Issue {
	self := s.itemURL(i.id)
	d := Issue{
		ID: i.id, Kind: i.kind, Severity: i.severity, Status: i.status(), Why: i.why, Area: i.area, Version: i.version,
		OpenedAt: moment(i.opened), AcknowledgedAt: moment(i.acknowledged), ResolvedAt: moment(i.resolved), ResolvedBy: i.resolvedBy,
	}
	d.Restaurant.Name = i.restaurantName
	if i.place != "" {
		d.Dropoff = new(Place)
		_ = json.Unmarshal([]byte(i.place), d.Dropoff) // our own
	}
	d.Links.Set("self", hal.To(self))
	d.Links.Set("collection", hal.To(s.collectionURL()))
	d.Links.Set(relOrder, hal.To(i.order))
	for rel, href := range map[string]string{relRider: i.rider, relRestaurant: i.restaurant} {
		if href != "" {
			d.Links.Set(rel, hal.To(href))
		}
	}
	if i.resolved != 0 {
		return d
	}
	if i.acknowledged == 0 {
		d.Links.Set(relAcknowledge, hal.To(self+"/acknowledge"))
	}
	d.Links.Set(relResolve, hal.To(self+"/resolve"))
	var todo []remedy
	_ = json.Unmarshal([]byte(i.remedies), &todo) // our own
	for _, r := range todo {
		d.Links.Set(r.Rel, hal.Link{Href: r.Href, Title: r.Title})
	}
	return d
}

// Relations of an issue to what can be done with it.
const (
	relAcknowledge = "acknowledge"
	relResolve     = "resolve"
)

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// milli is 0 for the zero time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
