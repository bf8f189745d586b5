package cache

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const simOrigin = "https://owner.example"

// tagStyle is how the owner makes ETags.
type tagStyle int

const (
	tagsNone tagStyle = iota
	// tagsContent: equal only if everything is, whatever the resource.
	tagsContent
	// tagsCounter: unique for one URI only, as RFC 9110 section 8.8.3 allows;
	// other URIs have the same tags for other content.
	tagsCounter
)

// resource is a path at the owner, and what it was when.
type resource struct {
	path    string
	topic   *topic   // where its own changes are announced
	named   []*topic // in resn: who has to vouch
	history []fact
	parts   []*resource // what a representation shows: itself, or what it embeds
	groups  []string    // Cache-Groups
	tags    tagStyle
	varies  bool // by Accept-Language

	maxAge, swr, sie int
}

// fact says that a resource had a content from some moment on. Content 0
// means that it didn't exist.
type fact struct {
	at      time.Time
	content int
}

// at returns what the resource was at a moment.
func (r *resource) at(t time.Time) int {
	content := 0
	for _, f := range r.history {
		if f.at.After(t) {
			break
		}
		content = f.content
	}
	return content
}

func (r *resource) now() int { return r.history[len(r.history)-1].content }

// trueSince reports whether the resource had that content at any moment at or
// after since.
func (r *resource) trueSince(content int, since time.Time) bool {
	for i, f := range r.history {
		if f.content == content && (i == len(r.history)-1 || !r.history[i+1].at.Before(since)) {
			return true
		}
	}
	return false
}

// trueFrom reports whether the resource had that content with the n-th change
// or after it.
func (r *resource) trueFrom(content, n int) bool {
	for _, f := range r.history[n:] {
		if f.content == content {
			return true
		}
	}
	return false
}

// commit changes the resource.
func (r *resource) commit(at time.Time, content int) {
	r.history = append(r.history, fact{at, content})
}

// next picks what the resource becomes: mostly something new, sometimes
// something that it has been before.
func (w *world) nextContent(r *resource) int {
	if w.chance(0.2) {
		if f := r.history[w.rng.IntN(len(r.history))]; f.content != r.now() && f.content != 0 {
			return f.content
		}
	}
	highest := 0
	for _, f := range r.history {
		highest = max(highest, f.content)
	}
	return highest + 1
}

// seen is what a representation shows: the content of each part.
type seen map[string]int

func (s seen) String() string {
	var b strings.Builder
	for i, path := range slices.Sorted(maps.Keys(s)) {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s=%s", path, contentName(s[path]))
	}
	return b.String()
}

func contentName(content int) string {
	if content == 0 {
		return "nothing"
	}
	return "v" + strconv.Itoa(content)
}

// variant is what tells representations apart: the language only if they
// vary by it.
func (r *resource) variant(k wanted) wanted {
	if !r.varies {
		k.lang = ""
	}
	return k
}

// view is what the resource looks like to somebody who sees the owner's data
// as it was at a moment.
func (r *resource) view(at time.Time) (status int, s seen) {
	s = seen{}
	for _, part := range r.parts {
		s[part.path] = part.at(at)
	}
	if content, own := s[r.path]; own && content == 0 {
		return 404, seen{r.path: 0}
	}
	return 200, s
}

// wanted is what tells representations of a resource apart.
type wanted struct {
	path, query, lang, user string
}

func (k wanted) uri() string { return simOrigin + k.path + k.query }

func (k wanted) String() string {
	s := k.path + k.query
	if k.lang != "" {
		s += " in " + k.lang
	}
	if k.user != "" {
		s += " for " + k.user
	}
	return s
}

// body writes a representation so that it says all about itself.
func (r *resource) body(k wanted, s seen, padding int) string {
	k = r.variant(k)
	return fmt.Sprintf("%s%s|%s|%s|%s|%s", k.path, k.query, k.lang, k.user, s, strings.Repeat("x", padding))
}

func withoutPadding(body string) string { return strings.TrimRight(body, "x") }

// readBody takes a body apart again.
func readBody(body string) (what string, s seen, ok bool) {
	fields := strings.Split(body, "|")
	if len(fields) != 5 {
		return "", nil, false
	}
	s = seen{}
	for part := range strings.FieldsSeq(fields[3]) {
		path, name, _ := strings.Cut(part, "=")
		if name == "nothing" {
			s[path] = 0
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(name, "v"))
		if err != nil {
			return "", nil, false
		}
		s[path] = n
	}
	return strings.Join(fields[:3], "|"), s, true
}

// tag returns the ETag of a representation, or nothing.
func (r *resource) tag(k wanted, status int, s seen) string {
	if status != 200 {
		return ""
	}
	who := ""
	if r.varies && k.lang != "" {
		who += "-" + k.lang
	}
	if k.user != "" {
		who += "-" + k.user
	}
	switch r.tags {
	case tagsContent:
		return fmt.Sprintf(`"%s%s%s"`, strings.ReplaceAll(s.String(), " ", "+"), k.query, who)
	case tagsCounter:
		sum := min(len(k.query), 1) // the other query had this tag before, or will have
		for _, path := range slices.Sorted(maps.Keys(s)) {
			sum = 40*sum + s[path]
		}
		if len(s) == 1 {
			sum = min(len(k.query), 1) + s[r.path]
		}
		return fmt.Sprintf(`"%d%s"`, sum, who)
	}
	return ""
}

// cacheControl is the policy that the owner states.
func (w *world) cacheControl(r *resource) string {
	cc := fmt.Sprintf("max-age=%d", r.maxAge)
	if r.swr > 0 {
		cc += fmt.Sprintf(", stale-while-revalidate=%d", r.swr)
	}
	if r.sie > 0 {
		cc += fmt.Sprintf(", stale-if-error=%d", r.sie)
	}
	if len(r.named) > 0 {
		var names []string
		for _, t := range r.named {
			names = append(names, t.name)
		}
		cc += fmt.Sprintf(`, resn="%s"`, strings.Join(names, " "))
		if w.plan.declared > 0 {
			cc += fmt.Sprintf(", resn-lag=%d", int(w.plan.declared/time.Second))
		}
	}
	return cc
}

// replica answers reads from a copy that is behind. It only moves forward.
type replica struct{ sees time.Time }

// read returns the moment that this read sees.
func (w *world) readAt() (at time.Time, lags bool) {
	now := time.Now()
	if w.plan.lag == 0 || w.resting || w.chance(0.3) {
		return now, false
	}
	c := &w.replicas[w.rng.IntN(len(w.replicas))]
	at = now.Add(-time.Duration(w.rng.Int64N(int64(w.plan.lag))))
	if at.Before(c.sees) {
		at = c.sees
	}
	c.sees = at
	return at, true
}

// settleOwner makes the resources of a world. Two topics: things with their
// list, and orders, which embed a thing that another topic announces.
func (w *world) settleOwner() {
	things, orders := w.topics[0], w.topics[1]
	var all []*resource
	for i := 1; i <= 3; i++ {
		all = append(all, &resource{path: fmt.Sprintf("/things/%d", i), topic: things, varies: i == 1})
	}
	for _, r := range all {
		r.parts = []*resource{r}
	}
	list := &resource{path: "/things", topic: things, groups: []string{things.name}, parts: slices.Clone(all)}
	order := &resource{path: "/orders/9", topic: orders, groups: []string{"/things/1"}}
	order.parts = []*resource{order, all[0]}
	plain := &resource{path: "/plain", groups: []string{"/things/2"}}
	plain.parts = []*resource{plain}
	w.resources = append(all, list, order, plain)

	for _, r := range w.resources {
		if r.topic != nil {
			r.named = []*topic{r.topic}
		}
		if r == order && w.chance(0.5) {
			r.named = append(r.named, things) // which announces what it embeds
		}
		r.maxAge = pick(w, 0, 0, 1, 5, 60, 3600)
		if w.chance(0.3) {
			r.swr = pick(w, 2, 30)
		}
		if w.chance(0.3) {
			r.sie = pick(w, 5, 60)
		}
		r.tags = w.plan.tags
		if w.chance(0.2) {
			r.tags = tagsNone
		}
		content := 1 + w.rng.IntN(3)
		if w.chance(0.25) && r.path != "/things" {
			content = 0
		}
		r.commit(time.Now().Add(-time.Hour), content)
	}
	w.replicas = make([]replica, 2)
}

func (w *world) resource(path string) *resource {
	for _, r := range w.resources {
		if r.path == path {
			return r
		}
	}
	return nil
}

// change commits a change of a resource and writes the notice of it into the
// outbox, in one transaction.
func (w *world) change(r *resource, content int) {
	was := r.now()
	r.commit(time.Now(), content)
	if r.topic == nil {
		return
	}
	n := message{path: r.path, committed: time.Now(), change: len(r.history) - 1, kind: "update"}
	switch {
	case content == 0:
		n.kind = "delete"
	case was == 0:
		n.kind = "create"
	}
	if w.chance(0.1) {
		n.query = "?view=full"
	}
	if w.plan.noticeTags && !w.chance(0.1) {
		k := wanted{path: r.path, query: n.query}
		status, s := r.view(time.Now())
		n.tag = r.tag(k, status, s)
	}
	n.gone = content == 0 && w.chance(0.7)
	r.topic.outbox = append(r.topic.outbox, n)
}
