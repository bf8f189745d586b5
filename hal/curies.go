package hal

import "strings"

// curies are the CURIE templates of a document (draft-kelly-json-hal section
// 8.2), split at their {rel}.
type curies []curie

type curie struct{ name, before, after string }

const curieToken = "{rel}"

func newCuries(links []Link) curies {
	var c curies
	for _, l := range links {
		before, after, ok := strings.Cut(l.Href, curieToken)
		if ok && l.Name != "" {
			c = append(c, curie{l.Name, before, after})
		}
	}
	return c
}

// expand returns the URI that a CURIE stands for.
func (c curies) expand(rel string) (string, bool) {
	name, reference, ok := strings.Cut(rel, ":")
	if !ok {
		return "", false
	}
	for _, k := range c {
		if k.name == name {
			return k.before + reference + k.after, true
		}
	}
	return "", false
}

// spellings returns the other ways to write a relation in this document: the
// URI of a CURIE, the CURIEs of a URI.
func (c curies) spellings(rel string) []string {
	var others []string
	if full, ok := c.expand(rel); ok {
		others = append(others, full)
		rel = full
	}
	for _, k := range c {
		if len(rel) > len(k.before)+len(k.after) && strings.HasPrefix(rel, k.before) && strings.HasSuffix(rel, k.after) {
			others = append(others, k.name+":"+rel[len(k.before):len(rel)-len(k.after)])
		}
	}
	return others
}

// Find is All for relations that may be written as a CURIE: it compares them
// by what they stand for, so that a link is found by its CURIE or by its full
// URI, whichever of them the document uses.
func (l Links) Find(rel string) []Link {
	if links := l.All(rel); links != nil {
		return links
	}
	for _, other := range newCuries(l.All("curies")).spellings(rel) {
		if links := l.All(other); links != nil {
			return links
		}
	}
	return nil
}

// Expand returns the URI that a CURIE stands for by the curies of this set,
// where the documentation of the relation is found. Other relations come back
// as they are.
func (l Links) Expand(rel string) string {
	if full, ok := newCuries(l.All("curies")).expand(rel); ok {
		return full
	}
	return rel
}

// Compact returns the shortest CURIE that stands for the URI by the curies of
// this set, or the URI itself.
func (l Links) Compact(uri string) string {
	short := uri
	for _, s := range newCuries(l.All("curies")).spellings(uri) {
		if name, _, ok := strings.Cut(s, ":"); ok && name != "" && len(s) < len(short) {
			short = s
		}
	}
	return short
}

// Curie returns a link for the curies relation: relations that begin with
// name and a colon are documented at the template, which must contain {rel}.
func Curie(name, template string) Link {
	return Link{Name: name, Href: template, Templated: true}
}
