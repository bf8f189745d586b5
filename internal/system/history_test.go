package system

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const origin = "http://owner.example"

// resource is something that an owner serves, and what was ever true of it. This
// is the truth that everything else is measured by.
type resource struct {
	path   string
	topic  string      // that announces its own changes; empty if it has none of its own
	parts  []*resource // what it shows, itself included if it has a state of its own
	names  []string    // topics that its responses name
	groups []string    // its Cache-Groups
	varies bool        // by Accept-Language
	maxAge int
	past   []*change // past[n] made version n
}

// change is what made a version.
type change struct {
	res  *resource
	n    int
	gone bool
	at   time.Time // when it was committed

	// How it was first announced; zero until then.
	epoch string
	seq   uint64
}

func (c *change) String() string {
	if c.gone {
		return fmt.Sprintf("%s@%d (deleted)", c.res.path, c.n)
	}
	return fmt.Sprintf("%s@%d", c.res.path, c.n)
}

// add makes the next version.
func (r *resource) add(gone bool, at time.Time) *change {
	c := &change{res: r, n: len(r.past), gone: gone, at: at}
	r.past = append(r.past, c)
	return c
}

func (r *resource) last() *change { return r.past[len(r.past)-1] }

// at returns the version that was current at a time.
func (r *resource) at(t time.Time) *change {
	for i := len(r.past) - 1; i > 0; i-- {
		if !r.past[i].at.After(t) {
			return r.past[i]
		}
	}
	return r.past[0]
}

// currentSince reports whether a version was current at some moment not before t.
func (r *resource) currentSince(n int, t time.Time) bool {
	return n+1 >= len(r.past) || !r.past[n+1].at.Before(t)
}

// seen is what an answer shows: for each part its version.
type seen map[string]int

func (s seen) String() string {
	parts := make([]string, 0, len(s))
	for path, n := range s {
		parts = append(parts, fmt.Sprintf("%s@%d", path, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// view is what a resource shows at a time, and whether it exists.
func (r *resource) view(t time.Time) (sees seen, found bool) {
	sees, found = seen{}, true
	for _, part := range r.parts {
		c := part.at(t)
		sees[part.path] = c.n
		if part == r && c.gone {
			return seen{part.path: c.n}, false
		}
	}
	return sees, found
}

// tag is the entity tag of a representation: another one for each.
func (r *resource) tag(sees seen, want wanted) string {
	return `"` + sees.String() + want.query + want.lang + `"`
}

// noticeTag is the tag that a notice of a change names, if it can name one: that
// of the resource without query, unless it varies or shows other resources.
func (c *change) noticeTag() string {
	if c.gone || c.res.varies || len(c.res.parts) > 1 {
		return ""
	}
	return c.res.tag(seen{c.res.path: c.n}, wanted{})
}

// newResources makes what the owners have: things, which an outbox announces, a
// list of them, and orders, which a publisher announces, one of which shows a
// thing.
func newResources(w *world) []*resource {
	made := w.began.Add(-time.Hour)
	own := func(path, topic string) *resource {
		r := &resource{path: path, topic: topic, names: []string{topic}, maxAge: w.plan.maxAge}
		r.parts = []*resource{r}
		r.add(false, made)
		return r
	}
	one, two, three := own("/things/1", things), own("/things/2", things), own("/things/3", things)
	three.varies = true
	list := &resource{
		path: "/things", parts: []*resource{one, two, three},
		names: []string{things}, groups: []string{things}, maxAge: w.plan.maxAge,
	}
	plain, shows := own("/orders/1", orders), own("/orders/9", orders)
	shows.parts = append(shows.parts, one)
	shows.names = []string{orders, things}
	shows.groups = []string{"/things/1"}
	return []*resource{one, two, list, three, shows, plain}
}
