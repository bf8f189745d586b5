package hal

import (
	"maps"
	"net/http"
	"strconv"
)

// Page is a page of a collection, as the query of a request asks for it.
type Page struct {
	// Number counts from 1.
	Number int
	// Size is how many items a full page has.
	Size int
}

// PageOptions configure PageOf. The zero value and nil are useful.
type PageOptions struct {
	// Size is the size of a page when the request doesn't say. Default: 20.
	Size int
	// MaxSize is the largest size that may be asked for. Default: 100.
	MaxSize int
}

// PageOf reads the query parameters page and size. Its error is a *Problem
// with status 400 that names the parameter.
func PageOf(r *http.Request, opts *PageOptions) (Page, error) {
	o := PageOptions{Size: 20, MaxSize: 100}
	if opts != nil && opts.Size > 0 {
		o.Size = opts.Size
	}
	if opts != nil && opts.MaxSize > 0 {
		o.MaxSize = opts.MaxSize
	}
	o.MaxSize = max(o.MaxSize, o.Size)
	query := r.URL.Query()
	var errs []FieldError
	number := func(name string, otherwise, most int) int {
		if !query.Has(name) {
			return otherwise
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 1 || n > most {
			errs = append(errs, FieldError{Parameter: name, Detail: "must be a number from 1 to " + strconv.Itoa(most)})
			return otherwise
		}
		return n
	}
	p := Page{Number: number("page", 1, 1_000_000), Size: number("size", o.Size, o.MaxSize)}
	if errs != nil {
		problem := NewProblem(http.StatusBadRequest, "")
		problem.Errors = errs
		return p, problem
	}
	return p, nil
}

// Offset returns how many items come before the page.
func (p Page) Offset() int { return (p.Number - 1) * p.Size }

// Slice returns the part of all items that is on page p.
func Slice[T any](p Page, all []T) []T {
	from := min(max(p.Offset(), 0), len(all))
	return all[from:min(from+p.Size, len(all))]
}

// CollectionLinks are the links of a collection: itself, its pages, its items
// and a template that finds items.
type CollectionLinks struct {
	Self   Link `json:"self"`
	First  Link `json:"first,omitzero"`
	Prev   Link `json:"prev,omitzero"`
	Next   Link `json:"next,omitzero"`
	Last   Link `json:"last,omitzero"`
	Find   Link `json:"find,omitzero"`
	Item   Many `json:"item"`
	Curies Many `json:"curies,omitempty"`
}

// Items are the embedded resources of a collection.
type Items[T any] struct {
	Item []T `json:"item"`
}

// Collection is the document of a collection, or of one page of it. Declare
// your own struct where yours has more to say.
type Collection[T any] struct {
	Links CollectionLinks `json:"_links"`
	// Total is the number of items on all pages.
	Total int `json:"total"`
	// Embedded holds the items themselves. Leave it nil unless the client asked
	// by ?embed=item (see Embeds): links keep caches effective, since an item
	// that changes then changes nothing but itself.
	Embedded *Items[T] `json:"_embedded,omitempty"`
}

// Links returns the links of page p of a collection with total items: self,
// first, prev, next and last. They keep the other query parameters of the
// request, so that a search stays a search from page to page.
func (p Page) Links(r *http.Request, urls *URLs, total int) CollectionLinks {
	last := max(1, (total+p.Size-1)/p.Size)
	query := r.URL.Query()
	at := func(n int) Link {
		q := maps.Clone(query)
		q.Set("page", strconv.Itoa(n))
		q.Set("size", strconv.Itoa(p.Size))
		return To(urls.Href(r, r.URL.EscapedPath()+"?"+q.Encode()))
	}
	l := CollectionLinks{Self: To(urls.Self(r)), First: at(1), Last: at(last), Item: Many{}}
	if p.Number > 1 {
		l.Prev = at(min(p.Number-1, last))
	}
	if p.Number < last {
		l.Next = at(p.Number + 1)
	}
	return l
}
