package console

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/resn"
)

// Policy is the Content-Security-Policy of every answer.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed page.html page.css page.js
var files embed.FS

// scene is what the page shows.
type scene struct {
	Title     string
	Links     []Link
	Now       time.Time
	Problem   string // why the instances may be others by now
	Instances []instance
	Topics    []topic
	Caches    []cached
	Bindings  []bound
	Changes   []change
}

type instance struct {
	discovery.Instance
	Address, Admin, Err string
}

type topic struct {
	Name    string
	Owners  []owner
	Readers []reader
}

type owner struct {
	Instance, LastError string
	Published           uint64
	Waiting             int
	Lag                 time.Duration
}

type reader struct {
	resn.TopicState
	Instance, Line string
	Silent         bool // it says nothing any more; this is the last that it said
	Worst          time.Duration
}

type cached struct {
	Instance string
	Rates    *rates
	Entries  int
	Bytes    int64
	Notices  uint64
}

type bound struct{ Service, Words, Author, Refused string }

// scene gathers what is known.
func (c *Console) scene() *scene {
	s := &scene{Title: c.opts.Title, Links: c.opts.Links, Now: time.Now(), Changes: c.feed.latest()}
	known := c.known.Load()
	if known == nil {
		s.Problem = "The registry hasn't answered yet."
		return s
	}
	if !known.Live {
		s.Problem = "The registry doesn't answer; these are the instances of " + clock(known.AsOf) + "."
	}
	topics := make(map[string]*topic)
	at := func(name string) *topic {
		if topics[name] == nil {
			topics[name] = &topic{Name: name}
		}
		return topics[name]
	}
	c.mu.Lock()
	for _, in := range known.Instances {
		i := instance{Instance: in, Admin: in.Attributes[AdminAttribute]}
		if len(in.Endpoints) > 0 {
			i.Address = in.Endpoints[0].Address
		}
		if h := c.history[key(&in)]; h != nil {
			if _, err := h.now(); err != nil {
				i.Err = err.Error()
			}
			s.Caches = append(s.Caches, h.cached(&in)...)
			h.topics(&in, at)
		}
		s.Instances = append(s.Instances, i)
	}
	c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		s.Topics = append(s.Topics, *topics[name])
	}
	if c.opts.Bindings != nil {
		s.Bindings = bindings(c.opts.Bindings())
	}
	return s
}

func (h *history) cached(in *discovery.Instance) []cached {
	now, err := h.now()
	if now.Cache == nil || err != nil {
		return nil
	}
	out := cached{Instance: key(in), Entries: now.Cache.Entries, Bytes: now.Cache.Bytes, Notices: now.Cache.Notices}
	if r, ok := h.rates(); ok {
		out.Rates = &r
	}
	return []cached{out}
}

// topics enters what an instance owns and what it reads.
func (h *history) topics(in *discovery.Instance, at func(string) *topic) {
	now, err := h.now()
	if now.Relay != nil && err == nil {
		for _, t := range now.Relay.Topics {
			if now.Relay.Leading {
				on := at(t.Topic)
				on.Owners = append(on.Owners, owner{key(in), now.Relay.LastError, t.Published, t.Waiting, t.Lag})
			}
		}
	}
	for _, t := range now.Topics {
		on := at(t.Topic)
		samples := h.staleness[t.Topic]
		worst := t.Staleness
		for _, s := range samples {
			worst = max(worst, s)
		}
		on.Readers = append(on.Readers, reader{TopicState: t, Instance: key(in), Silent: err != nil, Worst: worst, Line: line(samples, worst)})
	}
}

// Size of the picture of staleness, in its own units.
const lineWidth, lineHeight = 240, 36

// line draws samples from right to left, the newest at the right border.
func line(samples []time.Duration, worst time.Duration) string {
	top := max(worst, 500*time.Millisecond)
	var b strings.Builder
	for i, s := range samples {
		x := lineWidth * (kept - len(samples) + i) / (kept - 1)
		y := lineHeight - float64(lineHeight-1)*float64(s)/float64(top)
		fmt.Fprintf(&b, "%d,%.1f ", x, y)
	}
	return strings.TrimSpace(b.String())
}

func bindings(inUse []binding.Revision, refused map[string]error) []bound {
	var out []bound
	for _, r := range inUse {
		if r.Binding != nil {
			out = append(out, bound{Service: r.Service, Words: words(r.Binding), Author: r.Author})
		}
	}
	for service, err := range refused {
		out = append(out, bound{Service: service, Refused: err.Error()})
	}
	slices.SortFunc(out, func(a, b bound) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Refused, b.Refused))
	})
	return out
}

// words say which version gets how much.
func words(b *binding.Binding) string {
	var parts []string
	for _, s := range b.Shares {
		parts = append(parts, strconv.FormatFloat(s.Percent, 'f', -1, 64)+" % to "+s.Version)
	}
	switch b.Rest {
	case "":
	case "*":
		parts = append(parts, "the rest to all others")
	default:
		parts = append(parts, "the rest to "+b.Rest)
	}
	if n := len(b.Rules); n > 0 {
		parts = append(parts, strconv.Itoa(n)+" exceptions")
	}
	return strings.Join(parts, ", ")
}

// view renders the page.
type view struct {
	page  *template.Template
	files map[string][]byte // by name, with page.css and page.js
}

func newView() *view {
	v := &view{files: make(map[string][]byte)}
	v.page = template.Must(template.New("page.html").Funcs(template.FuncMap{
		"clock": clock, "brief": brief, "size": size,
		"since": func(now, then time.Time) string { return brief(now.Sub(then)) },
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"rate":  func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
	}).ParseFS(files, "page.html"))
	for _, name := range []string{"page.css", "page.js"} {
		if b, err := files.ReadFile(name); err == nil { // it was embedded
			v.files[name] = b
		}
	}
	return v
}

func (v *view) serve(w http.ResponseWriter, r *http.Request, scene func() *scene) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "The console changes nothing: GET it.", http.StatusMethodNotAllowed)
		return
	}
	if name := path.Base("/" + r.URL.Path); v.files[name] != nil {
		h.Set("Cache-Control", "max-age=3600")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(v.files[name]))
		return
	}
	h.Set("Cache-Control", "no-store")
	name := "page.html"
	if r.URL.Query().Get("part") == "live" {
		name = "live"
	}
	var body bytes.Buffer
	if err := v.page.ExecuteTemplate(&body, name, scene()); err != nil {
		http.Error(w, "The page can't be shown.", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

// brief writes a duration with as many digits as people read.
func brief(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) + " ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

func size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return strconv.FormatInt(bytes, 10) + " B"
	case bytes < 1<<20:
		return strconv.FormatInt(bytes>>10, 10) + " KiB"
	}
	return strconv.FormatInt(bytes>>20, 10) + " MiB"
}
