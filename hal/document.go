package hal

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// document is the text of a resource with what has been found out about its
// relations, worked out when first asked for and shared from then on.
type document struct {
	raw    []byte
	url    string
	header http.Header

	once   sync.Once
	base   *url.URL
	rels   map[string][]target
	curies curies
	links  Links // when the document isn't text but somebody's Linked

	mu      sync.Mutex
	decoded map[embeddedKey]any
}

type embeddedKey struct {
	typ   any
	rel   string
	index int
}

// target is one resource that a relation leads to.
type target struct {
	// What following many warm links looks at comes first, in one cache line.
	abs   string // resolved; "" when the link is templated or broken
	plain bool   // there is an abs, at the document's own origin, not deprecated
	same  bool   // same origin as the document

	url      *url.URL // of abs
	err      error
	embedded []byte // the embedded resource, if any
	link     Link
}

// targets returns what the relation leads to, links first in their order,
// then embedded resources that no link mentions.
func (d *document) targets(rel string) []target {
	d.once.Do(d.resolve)
	if t, ok := d.rels[rel]; ok {
		return t
	}
	for _, other := range d.curies.spellings(rel) {
		if t, ok := d.rels[other]; ok {
			return t
		}
	}
	return nil
}

func (d *document) resolve() {
	d.rels = make(map[string][]target)
	d.base, _ = url.Parse(d.url)
	if d.base == nil {
		d.base = &url.URL{}
	}
	links := d.links
	if raw, ok := rawjson.Lookup(d.raw, "_links"); ok && rawjson.Kind(raw) == '{' {
		links = Links{text: raw}
	}
	for rel, all := range links.Relations() {
		if rel == "curies" {
			d.curies = newCuries(all)
		}
		targets := make([]target, len(all))
		for i, link := range all {
			targets[i] = d.target(link)
		}
		d.rels[rel] = targets
	}
	embedded, _ := rawjson.Lookup(d.raw, "_embedded")
	for rel, value := range rawjson.Members(embedded) {
		d.embed(rel, value)
	}
	for rel, link := range linkFields(d.header) {
		if _, declared := d.rels[rel]; !declared {
			d.rels[rel] = append(d.rels[rel], d.target(link))
		}
	}
}

// at resolves an href against the document.
func (d *document) at(href string) target {
	d.once.Do(d.resolve)
	return d.target(Link{Href: href})
}

// target is at for resolve itself, once the base is known.
func (d *document) target(link Link) target {
	t := target{link: link}
	if link.Templated {
		return t
	}
	t.url, t.err = d.base.Parse(link.Href)
	if t.err != nil {
		return t
	}
	t.abs = t.url.String()
	t.same = t.url.Host == d.base.Host && t.url.Scheme == d.base.Scheme
	t.plain = t.abs != "" && t.same && t.link.Deprecation == ""
	return t
}

// embed joins embedded resources to the links that lead to them.
func (d *document) embed(rel string, value []byte) {
	targets := d.rels[rel]
	byURL := make(map[string]int, len(targets))
	for i := range targets {
		if targets[i].abs != "" {
			byURL[targets[i].abs] = i
		}
	}
	add := func(resource []byte) {
		if rawjson.Kind(resource) != '{' {
			return
		}
		links, _ := rawjson.Lookup(resource, "_links")
		self, ok := Links{text: links}.Get("self")
		var t target
		if ok && links != nil {
			t = d.target(self)
			if i, found := byURL[t.abs]; found && t.abs != "" {
				targets[i].embedded = resource
				return
			}
		}
		t.embedded = resource
		targets = append(targets, t)
	}
	if rawjson.Kind(value) == '[' {
		for resource := range rawjson.Elements(value) {
			add(resource)
		}
	} else {
		add(value)
	}
	d.rels[rel] = targets
}
