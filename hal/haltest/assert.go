package haltest

import (
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

// Link fails the test unless the document has exactly one link of the relation
// with that href, compared as it is written.
func Link(tb testing.TB, doc hal.Linked, rel, href string) {
	tb.Helper()
	links := doc.Links().Find(rel)
	if len(links) != 1 || links[0].Href != href {
		tb.Errorf("%s: the relation %q must lead to %q, and leads to %s", doc.Location(), rel, href, hrefs(links))
	}
}

// Links fails the test unless the relation leads to these hrefs in this order
// and is written as an array.
func Links(tb testing.TB, doc hal.Linked, rel string, want ...string) {
	tb.Helper()
	links := doc.Links().Find(rel)
	ok := len(links) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = links[i].Href == want[i]
	}
	if !ok {
		tb.Errorf("%s: the relation %q must lead to %q, and leads to %s", doc.Location(), rel, want, hrefs(links))
	}
	if !doc.Links().IsMany(rel) {
		tb.Errorf("%s: the relation %q must be an array, however few its links are", doc.Location(), rel)
	}
}

// NoLink fails the test when the document has a link of the relation.
func NoLink(tb testing.TB, doc hal.Linked, rel string) {
	tb.Helper()
	if links := doc.Links().Find(rel); len(links) > 0 {
		tb.Errorf("%s: the relation %q must not be there, and leads to %s", doc.Location(), rel, hrefs(links))
	}
}

// Relations fails the test unless the document has all these relations; it may
// have more.
func Relations(tb testing.TB, doc hal.Linked, rels ...string) {
	tb.Helper()
	for _, rel := range rels {
		if len(doc.Links().Find(rel)) == 0 {
			tb.Errorf("%s: the relation %q is missing", doc.Location(), rel)
		}
	}
}

func hrefs(links []hal.Link) string {
	if len(links) == 0 {
		return "nothing"
	}
	var list []string
	for _, l := range links {
		list = append(list, l.Href)
	}
	return strings.Join(list, ", ")
}
