package storefront

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

var (
	//go:embed page.html
	pageTemplate string
	//go:embed page.css
	pageStyle string
	//go:embed icon.svg
	icon []byte
)

// view renders pages for people. They need no script, fetch nothing but the
// page itself, and say by their Content-Security-Policy that they don't.
type view struct {
	template *template.Template
	policy   string
}

func newView() *view {
	sum := sha256.Sum256([]byte(pageStyle))
	return &view{
		template: template.Must(template.New("page").Funcs(template.FuncMap{
			"style":   func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // ours, embedded
			"age":     age,
			"took":    took,
			"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" },
			"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
			"plural":  plural,
			"inc":     func(i int) int { return i + 1 },
			"explain": explain,
		}).Parse(pageTemplate)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// scene is what the template shows.
type scene struct {
	Title   string
	Query   Query
	MaxSize int
	Sizes   []int
	Browse  string
	Wider   string // the area around the one asked for

	Problem *hal.Problem
	Page    *Page // nil on the front page
	Plot    *plot
	Reason  string
	Counts  []count
	Topic   *resn.TopicState
	Now     time.Time
}

type count struct {
	Source Source
	N      int
}

func (v *view) front(w http.ResponseWriter, r *http.Request, s *Service) error {
	q := s.first()
	return v.write(w, r, http.StatusOK, v.scene("Restaurants near you", q, s))
}

func (v *view) problem(w http.ResponseWriter, r *http.Request, s *Service, title string, p *hal.Problem) error {
	q := s.first()
	q.Geohash = r.URL.Query().Get("geohash")
	c := v.scene(title, q, s)
	c.Problem = p
	return v.write(w, r, p.Status, c)
}

func (v *view) nearby(w http.ResponseWriter, r *http.Request, s *Service, status int, p *Page, topics []resn.TopicState) error {
	title := "Restaurants"
	if p.Query.Geohash != "" {
		title = "Restaurants near " + p.Query.Geohash
	}
	c := v.scene(title, p.Query, s)
	c.Page, c.Plot = p, newPlot(p)
	if p.Degraded() {
		c.Reason = p.reason()
	}
	for _, source := range []Source{Cached, Revalidated, Fetched, Stale, Missing} {
		if n := p.Count(source); n > 0 {
			c.Counts = append(c.Counts, count{source, n})
		}
	}
	if len(topics) > 0 {
		c.Topic = &topics[0]
	}
	return v.write(w, r, status, c)
}

func (v *view) scene(title string, q Query, s *Service) *scene {
	c := &scene{Title: title, Query: q, MaxSize: s.opts.MaxSize, Browse: s.opts.Browse, Now: s.loader.opts.Clock()}
	for _, n := range []int{10, 20, 50, 100} {
		if n <= s.opts.MaxSize {
			c.Sizes = append(c.Sizes, n)
		}
	}
	if len(q.Geohash) > 1 {
		c.Wider = q.Geohash[:len(q.Geohash)-1]
	}
	return c
}

// write renders the page whole before it sends the first byte, so that an
// error doesn't leave half a page.
func (v *view) write(w http.ResponseWriter, r *http.Request, status int, c *scene) error {
	var b bytes.Buffer
	if err := v.template.Execute(&b, c); err != nil {
		return fmt.Errorf("storefront: render: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", v.policy)
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = b.WriteTo(w) // who has gone away hears no error
	return nil
}

func serveIcon(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Cache-Control", "max-age=86400")
	_, _ = w.Write(icon)
}

// explain says in words where an item came from.
func explain(it Item) string {
	switch it.Source {
	case Cached:
		return "from cache"
	case Revalidated:
		return "cache, confirmed"
	case Fetched:
		return "fetched"
	case Stale:
		if it.Age > 0 {
			return "maybe outdated, " + age(it.Age) + " old"
		}
		return "maybe outdated"
	case Missing:
		return "missing"
	}
	return string(it.Source)
}

// age writes how long something took or is ago, in one unit.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 2*time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	case d < 2*time.Hour:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min"
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + " h"
}

// took writes a time in milliseconds with three significant digits.
func took(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + " ms"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
