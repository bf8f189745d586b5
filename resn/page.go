package resn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/goswale/swale/hal"
)

// page is one page of a collection: where its members are, and where it goes on.
type page struct {
	items []string
	next  string // empty at the end
	total int    // members of all pages, if the page says
}

// pageReader reads the pages of collections.
type pageReader struct {
	client *Client
	rel    string // of the links to members
	ask    AskOptions
	past   bool // ask the owner, past every cache
}

// halPage is what of a HAL document a walk needs.
type halPage struct {
	Links    hal.Links                  `json:"_links"`
	Embedded map[string]json.RawMessage `json:"_embedded"`
	Total    int                        `json:"total"`
}

// halSelf is what of an embedded member a walk needs.
type halSelf struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
}

// read reads one page. Links are absolute in what it returns.
func (r *pageReader) read(ctx context.Context, href string) (page, error) {
	get := r.client.get
	if r.past {
		get = r.client.past
	}
	a, err := get(ctx, href, r.ask)
	if err == nil {
		err = a.Err()
	}
	if err == nil && a.Gone() {
		err = &StatusError{Href: href, Status: a.Status}
	}
	if err != nil {
		return page{}, err
	}
	var doc halPage
	if err := json.Unmarshal(a.Body, &doc); err != nil {
		return page{}, fmt.Errorf("resn: page %s is no HAL document: %w", href, err)
	}
	base, err := url.Parse(a.URL)
	if err != nil {
		return page{}, err
	}
	p := page{total: doc.Total}
	for _, link := range doc.members(r.rel) {
		if link.Templated {
			continue
		}
		at, err := base.Parse(link.Href)
		if err != nil {
			return page{}, fmt.Errorf("resn: page %s: link %q: %w", href, clip(link.Href), err)
		}
		at.Fragment = ""
		p.items = append(p.items, at.String())
	}
	if next := doc.Links.Find("next"); len(next) > 0 && next[0].Href != "" {
		at, err := base.Parse(next[0].Href)
		if err != nil {
			return page{}, fmt.Errorf("resn: page %s: link next: %w", href, err)
		}
		p.next = at.String()
	}
	return p, nil
}

// members returns the links to the members of a page.
func (d *halPage) members(rel string) []hal.Link {
	if links := d.Links.Find(rel); len(links) > 0 {
		return links
	}
	raw := d.Embedded[rel]
	var many []halSelf
	if json.Unmarshal(raw, &many) != nil {
		var one halSelf
		if json.Unmarshal(raw, &one) != nil {
			return nil
		}
		many = []halSelf{one}
	}
	var links []hal.Link
	for _, m := range many {
		if m.Links.Self.Href != "" {
			links = append(links, m.Links.Self)
		}
	}
	return links
}
