package storefront

import (
	"math"
	"time"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// rootDocument is the entry for programs.
type rootDocument struct {
	Links struct {
		Self        hal.Link `json:"self"`
		Nearby      hal.Link `json:"nearby"`
		Restaurants hal.Link `json:"restaurants"`
		Health      hal.Link `json:"health"`
	} `json:"_links"`
	Name string `json:"name"`
}

// pageDocument is a page for programs.
type pageDocument struct {
	Links struct {
		Self  hal.Link `json:"self"`
		Start hal.Link `json:"start"`
		List  hal.Link `json:"collection,omitzero"`
		Items hal.Many `json:"item"`
	} `json:"_links"`
	Geohash  string          `json:"geohash,omitempty"`
	Size     int             `json:"size"`
	Count    int             `json:"count"`
	List     Source          `json:"list"`
	Items    map[Source]int  `json:"items_from"`
	Requests int             `json:"domain_requests"`
	Took     float64         `json:"took_ms"`
	Topics   []topicDocument `json:"topics"`
	Degraded *degraded       `json:"degraded,omitempty"`
	Embedded struct {
		Items []itemDocument `json:"item"`
	} `json:"_embedded"`
}

// itemDocument is our view of a restaurant: less than the whole,
// and marked as such.
type itemDocument struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
	Partial  bool     `json:"_partial"`
	Source   Source   `json:"source"`
	Vouched  bool     `json:"vouched,omitempty"`
	Age      float64  `json:"unconfirmed_for_s,omitempty"`
	ETag     string   `json:"etag,omitempty"`
	Name     string   `json:"name"`
	Cuisine  string   `json:"cuisine,omitempty"`
	Address  string   `json:"address,omitempty"`
	Borough  string   `json:"borough,omitempty"`
	Location Location `json:"location"`
	Status   string   `json:"status,omitempty"`
	Prep     int      `json:"prep_minutes,omitempty"`
}

// topicDocument says whether the owner's notices arrive.
type topicDocument struct {
	Topic     string  `json:"topic"`
	Live      bool    `json:"live"`
	Staleness float64 `json:"staleness_ms"`
	Reason    string  `json:"reason,omitempty"`
}

// degraded says what a page lacks, and why.
type degraded struct {
	Since      *time.Time        `json:"since,omitempty"` // when the owner last stopped answering
	Reason     string            `json:"reason"`
	Remembered *time.Time        `json:"list_from,omitempty"` // when the list was last confirmed
	Missing    []missingDocument `json:"missing"`
	Stale      int               `json:"stale"`
}

type missingDocument struct {
	Href  string `json:"href"`
	Title string `json:"title,omitempty"`
}

func (s *Service) rootDocument() rootDocument {
	var d rootDocument
	d.Name = "storefront"
	d.Links.Self = hal.To("/")
	d.Links.Nearby = hal.TemplateTo("/nearby{?geohash,size}")
	d.Links.Restaurants = hal.Link{Href: s.root, Title: "The service that owns the restaurants"}
	d.Links.Health = hal.To("/healthz")
	return d
}

func newPageDocument(p *Page, self string, topics []resn.TopicState) *pageDocument {
	d := &pageDocument{
		Geohash: p.Query.Geohash, Size: p.Query.Size, Count: len(p.Items), List: p.List,
		Items: map[Source]int{}, Requests: p.Requests, Took: milliseconds(p.Took),
		Topics: newTopicDocuments(topics),
	}
	d.Links.Self, d.Links.Start = hal.To(self), hal.To("/")
	if p.ListURL != "" {
		d.Links.List = hal.To(p.ListURL)
	}
	if p.Degraded() {
		d.Degraded = &degraded{Reason: p.reason(), Missing: []missingDocument{}, Stale: p.Count(Stale)}
		if !p.Troubled.IsZero() {
			d.Degraded.Since = new(p.Troubled.UTC())
		}
		if !p.Remembered.IsZero() {
			d.Degraded.Remembered = new(p.Remembered.UTC())
		}
	}
	for i := range p.Items {
		it := &p.Items[i]
		d.Items[it.Source]++
		d.Links.Items = append(d.Links.Items, hal.To(it.Href))
		if it.Restaurant == nil {
			d.Degraded.Missing = append(d.Degraded.Missing, missingDocument{it.Href, it.Title})
			continue
		}
		r := it.Restaurant
		e := itemDocument{
			Partial: true, Source: it.Source, Vouched: it.Vouched, Age: it.Age.Seconds(), ETag: it.ETag,
			Name: r.Name, Cuisine: r.Cuisine, Address: r.Address.String(), Borough: r.Borough, Location: r.Location,
			Status: r.Status, Prep: r.PrepMinutes,
		}
		e.Links.Self = hal.To(it.Href)
		d.Embedded.Items = append(d.Embedded.Items, e)
	}
	return d
}

func newTopicDocuments(topics []resn.TopicState) []topicDocument {
	docs := make([]topicDocument, len(topics))
	for i, t := range topics {
		docs[i] = topicDocument{t.Topic, t.Live, milliseconds(t.Staleness), t.Reason}
	}
	return docs
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// reason says in a sentence what is wrong with the page.
func (p *Page) reason() string {
	switch {
	case p.Err != nil:
		return "The restaurants service can't be asked, and this page was never loaded before."
	case p.Count(Missing) > 0:
		return "The restaurants service can't be asked. Restaurants that changed since, or that weren't loaded before, are missing."
	case !p.Remembered.IsZero():
		return "The restaurants service can't be asked for the list; this is the last one that it gave."
	case p.List == Missing:
		return "The list is missing."
	}
	return "The restaurants service can't be asked; some of this may be out of date."
}
