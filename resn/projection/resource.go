package projection

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
)

// Resource is the state of a resource, as its owner told it.
type Resource struct {
	Href   string
	ETag   string
	Header http.Header // not to be changed
	Body   []byte

	links hal.Links
	base  *url.URL
}

// Decode reads the body as JSON. Its error is made by [bus.Reject]: the same body
// would be malformed again.
func (r *Resource) Decode(v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return bus.Reject(fmt.Errorf("projection: body of %s: %w", r.Href, err))
	}
	return nil
}

// Links returns the links of the document as they are written.
func (r *Resource) Links() hal.Links { return r.links }

// Link returns the absolute href of the first link of the relation, in the form
// in which the table that it leads to holds it; "" if there is none.
func (r *Resource) Link(rel string) string {
	all := r.LinksTo(rel)
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// LinksTo returns the absolute hrefs of the relation. Templated links aren't
// among them.
func (r *Resource) LinksTo(rel string) []string {
	var hrefs []string
	for _, link := range r.links.Find(rel) {
		if link.Templated || r.base == nil {
			continue
		}
		if at, err := r.base.Parse(link.Href); err == nil {
			if href, err := normal(at); err == nil {
				hrefs = append(hrefs, href)
			}
		}
	}
	return hrefs
}

// resource reads a document. One that isn't HAL has no links.
func resource(href, etag string, header http.Header, body []byte) *Resource {
	r := &Resource{Href: href, ETag: etag, Header: header, Body: body}
	var doc struct {
		Links hal.Links `json:"_links"`
	}
	if json.Unmarshal(body, &doc) == nil {
		r.links = doc.Links
	}
	r.base, _ = url.Parse(href)
	return r
}
