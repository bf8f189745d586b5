package storefront

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Options configures a [Service]. The zero value, and nil, are useful.
type Options struct {
	// Geohash is the area that a visitor sees who asks for none. Default: the
	// first restaurants of the whole list.
	Geohash string

	// Size is how many restaurants a page has if nothing is said. Default 50.
	Size int

	// MaxSize bounds what a page may be asked for. Default 100.
	MaxSize int

	// Settings, if given, is asked for each page instead of Geohash and Size, so
	// that they can change while the process runs.
	Settings func() Settings

	// Browse is put before the URL of a restaurant where people follow it, such
	// as "/explorer/#" for a page that shows and changes resources. Default: the
	// link leads to the resource itself.
	Browse string

	// Loader configures how pages are made.
	Loader *LoaderOptions

	// Logger hears of pages that lack something. Default: nothing is logged.
	Logger *slog.Logger
}

// Settings are what may change while the process runs. The tags are those of
// package configsvc.
type Settings struct {
	// Geohash is Options.Geohash.
	Geohash string `json:"geohash"`
	// Size is Options.Size.
	Size int `json:"size" default:"50" check:"min=1,max=100"`
}

// Validate says what is wrong with the settings, or nil.
func (s Settings) Validate() error {
	if !isGeohash(s.Geohash) {
		return fmt.Errorf("geohash is %q; it must have at most 12 letters out of %s", s.Geohash, geohashLetters)
	}
	return nil
}

// first is the page that a visitor sees who asks for nothing in particular.
func (s *Service) first() Query {
	if s.opts.Settings != nil {
		now := s.opts.Settings()
		return Query{Geohash: now.Geohash, Size: min(max(now.Size, 1), s.opts.MaxSize)}
	}
	return Query{Geohash: s.opts.Geohash, Size: s.opts.Size}
}

// Service is the edge service as an http.Handler. It is safe for concurrent
// use.
type Service struct {
	root   string
	client *resn.Client
	loader *Loader
	opts   Options
	view   *view
	mux    *http.ServeMux

	poor atomic.Bool // the last page lacked something
}

// New returns the service in front of the restaurants service whose root document
// is at root. Everything it reads goes through client, which stays the caller's to
// close.
func New(root string, client *resn.Client, opts *Options) *Service {
	s := &Service{root: root, client: client, mux: http.NewServeMux(), view: newView()}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Size <= 0 {
		s.opts.Size = 50
	}
	if s.opts.MaxSize <= 0 {
		s.opts.MaxSize = 100
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	s.loader = NewLoader(root, client.HTTP(), s.opts.Loader)
	s.mux.Handle("GET /{$}", hal.Handler(s.serveRoot))
	s.mux.Handle("GET /nearby", hal.Handler(s.serveNearby))
	s.mux.HandleFunc("GET /healthz", s.serveHealth)
	s.mux.HandleFunc("GET /icon.svg", serveIcon)
	s.mux.Handle("/", hal.Handler(s.serveNothing))
	return s
}

// ServeHTTP answers with HAL, or with HTML for those who prefer it.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	s.mux.ServeHTTP(w, r)
}

// htmlType is offered last, so that who has no preference gets HAL.
const htmlType = "text/html"

func wantsHTML(r *http.Request) bool {
	return hal.Negotiate(r.Header["Accept"], hal.HALType, hal.JSONType, htmlType) == htmlType
}

func (s *Service) serveRoot(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	if wantsHTML(r) {
		return s.view.front(w, r, s)
	}
	return hal.Write(w, r, http.StatusOK, s.rootDocument(), &hal.WriteOptions{CacheControl: "max-age=60"})
}

func (s *Service) serveNearby(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	q, problem := s.query(r)
	html := wantsHTML(r)
	if problem != nil {
		if html {
			return s.view.problem(w, r, s, "That can't be asked for", problem)
		}
		return problem
	}
	page := s.loader.Load(r.Context(), q)
	s.log(r.Context(), page)
	status := http.StatusOK
	if page.Err != nil {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "2")
	}
	w.Header().Set("Cache-Control", "no-store") // it tells how this very page came about
	topics := s.client.Topics()
	if html {
		return s.view.nearby(w, r, s, status, page, topics)
	}
	return hal.Write(w, r, status, newPageDocument(page, r.URL.RequestURI(), topics), nil)
}

func (s *Service) serveNothing(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	problem := hal.NewProblem(http.StatusNotFound, "There is nothing here. Begin at /.")
	if wantsHTML(r) {
		return s.view.problem(w, r, s, "Not found", problem)
	}
	return problem
}

// log says when pages begin to lack something, and when they are whole again;
// not each time, because an owner may be down for long.
func (s *Service) log(ctx context.Context, p *Page) {
	poor := p.Degraded()
	if s.poor.Swap(poor) == poor {
		return
	}
	if poor {
		s.opts.Logger.WarnContext(ctx, "pages lack something",
			"missing", p.Count(Missing), "stale", p.Count(Stale), "list", p.List, "error", p.Err)
	} else {
		s.opts.Logger.InfoContext(ctx, "pages are whole again")
	}
}

// query reads what a request asks for.
func (s *Service) query(r *http.Request) (Query, *hal.Problem) {
	values := r.URL.Query()
	q := s.first()
	if values.Has("geohash") {
		q.Geohash = strings.ToLower(strings.TrimSpace(values.Get("geohash")))
	}
	problem := hal.NewProblem(http.StatusBadRequest, "")
	if !isGeohash(q.Geohash) {
		problem.Errors = append(problem.Errors, hal.FieldError{
			Parameter: "geohash",
			Detail:    "must have at most 12 letters out of " + geohashLetters,
		})
	}
	if text := values.Get("size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > s.opts.MaxSize {
			problem.Errors = append(problem.Errors, hal.FieldError{
				Parameter: "size",
				Detail:    "must be a number from 1 to " + strconv.Itoa(s.opts.MaxSize),
			})
		}
		q.Size = n
	}
	if len(problem.Errors) > 0 {
		return q, problem
	}
	return q, nil
}

// healthDocument says how the process is. It is healthy as long as it can
// answer: that the owner is down makes pages poorer and not the process sick.
type healthDocument struct {
	Status string          `json:"status"`
	Topics []topicDocument `json:"topics"`
}

func (s *Service) serveHealth(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := hal.Write(w, r, http.StatusOK, healthDocument{Status: "pass", Topics: newTopicDocuments(s.client.Topics())}, nil)
	if err != nil {
		hal.WriteProblem(w, r, err)
	}
}

// Warm loads the page that a visitor sees first, so that the topic is
// subscribed to and the cache is warm before the first visitor comes.
func (s *Service) Warm(ctx context.Context) *Page {
	return s.loader.Load(ctx, s.first())
}
