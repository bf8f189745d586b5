package storefront

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/goswale/swale/hal"
)

// LoaderOptions configures a [Loader]. The zero value, and nil, are useful.
type LoaderOptions struct {
	// Parallel is how many items are asked for at once. Default 8.
	Parallel int

	// Patience bounds the loading of one page. Default 3 s.
	Patience time.Duration

	// Remember is for how many questions the last list of links is kept, to
	// fall back on when the owner can't be asked. Default 64, negative none.
	Remember int

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Loader makes pages: one list, and every item of it on its own. What is
// cached, and how, is the business of the transport it is given. It is safe
// for concurrent use.
type Loader struct {
	root   string
	client *hal.Client
	opts   LoaderOptions

	mu       sync.Mutex
	entry    *hal.Resource[hal.Any] // the restaurants service's root, once found
	lists    map[Query]remembered
	asked    []Query   // the keys of lists, oldest question first
	troubled time.Time // since when the owner can't be asked; zero if it can
}

type remembered struct {
	list *hal.Resource[list]
	at   time.Time
}

// Query asks for the restaurants near a place.
type Query struct {
	Geohash string // the area; empty for everywhere
	Size    int    // at most so many
}

// NewLoader returns a Loader that begins at the root document of the
// restaurants service and sends its requests with client.
func NewLoader(root string, client *http.Client, opts *LoaderOptions) *Loader {
	l := &Loader{root: root, lists: map[Query]remembered{}}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Parallel <= 0 {
		l.opts.Parallel = 8
	}
	if l.opts.Patience <= 0 {
		l.opts.Patience = 3 * time.Second
	}
	if l.opts.Remember == 0 {
		l.opts.Remember = 64
	}
	if l.opts.Clock == nil {
		l.opts.Clock = time.Now
	}
	if client == nil {
		client = http.DefaultClient
	}
	observed := *client
	observed.Transport = newObserver(client.Transport)
	l.client = hal.NewClient(&hal.ClientOptions{
		HTTP:     &observed,
		Parallel: l.opts.Parallel,
		// An item that the list embeds isn't the item that notices are about.
		Embedded: hal.EmbeddedNever,
	})
	return l
}

// Page is one page and the story of how it came about.
type Page struct {
	Query Query
	Items []Item // in the order of the list

	List       Source
	ListURL    string
	Remembered time.Time // not zero: the list couldn't be had, and this is from then
	Err        error     // why there is no list at all

	Took     time.Duration
	Requests int       // sent to the owner for this page, or shared with another
	Troubled time.Time // since when the owner can't be asked; zero if it can
}

// Item is one restaurant of a page.
type Item struct {
	Href       string
	Title      string      // of the list's link, if it has one
	Restaurant *Restaurant // shared and read-only; nil when missing
	ETag       string      // its version
	Source     Source
	Vouched    bool          // its owner's notices vouch for it
	Age        time.Duration // of a stale one, since it was last confirmed
	Began      time.Time     // when its reading began
	Err        error         // why it is missing
}

// Count returns how many items came from a source.
func (p *Page) Count(s Source) int {
	n := 0
	for i := range p.Items {
		if p.Items[i].Source == s {
			n++
		}
	}
	return n
}

// Degraded says whether the page is less than it should be: an item or the
// list is missing, stale or from memory.
func (p *Page) Degraded() bool {
	return p.Err != nil || !p.Remembered.IsZero() || p.List == Stale || p.Count(Missing)+p.Count(Stale) > 0
}

// Load makes a page. It always returns one: what couldn't be had is marked,
// with the reason.
func (l *Loader) Load(ctx context.Context, q Query) *Page {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Patience)
	defer cancel()
	ctx, notes := withNotes(ctx, q.Size)
	page := &Page{Query: q, List: Missing}
	start := time.Now()

	doc, err := l.list(ctx, q)
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			doc, page.Remembered = l.recall(q)
		}
		if doc == nil {
			page.Err = err
		}
	}
	if doc != nil {
		page.ListURL = doc.URL
		if err == nil {
			n, _ := notes.of(doc.URL)
			page.List = n.source
		}
		page.Items = l.items(ctx, notes, doc)
	}
	page.Took = time.Since(start)
	l.account(page, notes, doc, err)
	return page
}

// list asks for the list, beginning at the root when it isn't known yet or
// has moved.
func (l *Loader) list(ctx context.Context, q Query) (*hal.Resource[list], error) {
	l.mu.Lock()
	entry := l.entry
	l.mu.Unlock()
	known := entry != nil
	for {
		if entry == nil {
			var err error
			if entry, err = hal.Get[hal.Any](ctx, l.client, l.root); err != nil {
				return nil, err
			}
			l.mu.Lock()
			l.entry = entry
			l.mu.Unlock()
		}
		vars := []hal.Var{hal.V("size", q.Size)}
		if q.Geohash != "" {
			vars = append(vars, hal.V("geohash", q.Geohash))
		}
		doc, err := hal.Follow[list](ctx, l.client, entry, relSearch, vars...)
		if known && moved(err) {
			entry, known = nil, false
			continue
		}
		return doc, err
	}
}

// moved says whether an error may come from a link that is out of date.
func moved(err error) bool {
	var p *hal.Problem
	return errors.As(err, &p) && (p.Status == http.StatusNotFound || p.Status == http.StatusGone)
}

// items asks for every item of a list, each through the transport. One that
// was deleted since the list was made is left out.
func (l *Loader) items(ctx context.Context, notes *notes, doc *hal.Resource[list]) []Item {
	results := hal.FollowAll[Restaurant](ctx, l.client, doc, relItem)
	items := make([]Item, 0, len(results))
	for i, result := range results {
		r := result.Resource
		switch {
		case r != nil:
			n, ok := notes.of(r.URL)
			if !ok { // it was redirected
				n.source = Fetched
			}
			items = append(items, Item{
				Href: r.URL, ETag: r.ETag, Restaurant: &r.Value,
				Source: n.source, Vouched: n.vouched, Age: n.age, Began: n.began,
			})
		case !errors.Is(result.Err, fs.ErrNotExist):
			items = append(items, missing(doc, i, result.Err))
		}
	}
	return items
}

// missing describes an item that couldn't be had by what its link says.
func missing(doc *hal.Resource[list], i int, err error) Item {
	item := Item{Source: Missing, Err: err}
	links := doc.Links().All(relItem)
	if i >= len(links) {
		return item
	}
	item.Href, item.Title = links[i].Href, links[i].Title
	if base, err := url.Parse(doc.URL); err == nil {
		if u, err := base.Parse(item.Href); err == nil {
			item.Href = u.String()
		}
	}
	return item
}

// recall returns the last list that answered the question, if it is kept.
func (l *Loader) recall(q Query) (*hal.Resource[list], time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.lists[q]
	return r.list, r.at
}

// account counts what the page cost, and keeps what a later one may fall back
// on: the list, and since when the owner hasn't answered.
func (l *Loader) account(p *Page, notes *notes, doc *hal.Resource[list], err error) {
	answered, failed := false, err != nil
	for _, r := range notes.all() {
		if r.asked {
			p.Requests++
		}
		switch r.source {
		case Fetched, Revalidated:
			answered = true
		case Missing, Stale:
			failed = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case failed && l.troubled.IsZero():
		l.troubled = l.opts.Clock()
	case answered && !failed:
		l.troubled = time.Time{}
	}
	p.Troubled = l.troubled
	if err == nil && doc != nil {
		l.remember(p.Query, doc)
	}
}

// remember keeps a list, and drops the oldest question when
// there are too many.
func (l *Loader) remember(q Query, doc *hal.Resource[list]) {
	if l.opts.Remember < 0 {
		return
	}
	if _, ok := l.lists[q]; !ok {
		if len(l.asked) >= l.opts.Remember {
			delete(l.lists, l.asked[0])
			l.asked = l.asked[1:]
		}
		l.asked = append(l.asked, q)
	}
	l.lists[q] = remembered{doc, l.opts.Clock()}
}
