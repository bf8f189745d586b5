package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// DefaultTopic is the topic of notices.
const DefaultTopic = "config"

// Options configure New. The zero value, and nil, are useful: a service that
// everybody may read and nobody write.
type Options struct {
	// BaseURL is where clients find the handler, such as https://config.example
	// or https://example.com/config; a path in it is stripped from requests. It is
	// required with Bus. Default: hrefs are relative to /.
	BaseURL string
	// Bus carries notices of changes. Default: none are sent, and clients poll.
	Bus *bus.Bus
	// Topic is the notices' topic. Default "config".
	Topic string
	// Announced says that somebody else publishes the notices, with watermarks: an
	// outbox in the commit's transaction. Then responses name the topic, so that
	// caches may keep them until told otherwise, and the handler publishes none.
	Announced bool
	// Identify says who sends a request, or an error that is answered by 401.
	// Default: "anonymous".
	Identify func(*http.Request) (who string, err error)
	// Allow decides what they may. Default: everybody may Read and Report.
	Allow func(ctx context.Context, who string, action Action, key string) bool
	// Audit gets a record of every change, every secret that is shown, and
	// everything that is denied. Default: Logger.
	Audit *slog.Logger
	// Logger gets what nobody else hears. Default: nothing is logged.
	Logger *slog.Logger
	// InstanceTTL is how long after its last report an instance is taken for
	// gone. Default 2 minutes.
	InstanceTTL time.Duration
	// Title is shown on the page. Default "Configuration".
	Title string
	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Handler is the service. It is safe for concurrent use.
type Handler struct {
	store   *store.Store
	opts    Options
	base    *url.URL
	handler http.Handler

	mu        sync.Mutex
	instances map[string]*Running
}

// New returns a Handler. It panics without a store.
func New(s *store.Store, opts *Options) *Handler {
	if s == nil {
		panic("server: New: the *store.Store is nil; store.New makes one") //nolint:forbidigo // programmer error
	}
	h := &Handler{store: s, instances: map[string]*Running{}}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Topic == "" {
		h.opts.Topic = DefaultTopic
	}
	if h.opts.Identify == nil {
		h.opts.Identify = func(*http.Request) (string, error) { return "anonymous", nil }
	}
	if h.opts.Allow == nil {
		h.opts.Allow = Grants{{Who: "*", Action: Read}, {Who: "*", Action: Report}}.Allow
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if h.opts.Audit == nil {
		h.opts.Audit = h.opts.Logger
	}
	if h.opts.InstanceTTL <= 0 {
		h.opts.InstanceTTL = 2 * time.Minute
	}
	if h.opts.Title == "" {
		h.opts.Title = "Configuration"
	}
	if h.opts.Clock == nil {
		h.opts.Clock = time.Now
	}
	base, err := url.Parse(strings.TrimSuffix(h.opts.BaseURL, "/"))
	if err != nil || h.opts.Bus != nil && base.Host == "" {
		h.opts.Logger.Error("BaseURL is not an absolute URL, so that no notices can be sent", "url", h.opts.BaseURL)
		h.opts.Bus = nil
	}
	if err != nil {
		base = &url.URL{}
	}
	h.base = base
	routes := h.routes()
	if base.Path != "" {
		routes = http.StripPrefix(base.Path, routes)
	}
	h.handler = http.NewCrossOriginProtection().Handler(routes)
	return h
}

// ServeHTTP serves the resources and the page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.handler.ServeHTTP(w, r)
}

func (h *Handler) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(*call) error{
		"GET /{$}":                      h.root,
		"GET /keys":                     h.listKeys,
		"GET /keys/{key...}":            h.getKey,
		"PUT /keys/{key...}":            h.putKey,
		"PATCH /keys/{key...}":          h.patchKey,
		"DELETE /keys/{key...}":         h.deleteKey,
		"GET /schemas/{key...}":         h.getSchemas,
		"GET /changes":                  h.listChanges,
		"GET /changes/{revision}":       h.getChange,
		"POST /changes":                 h.postChange,
		"GET /diff":                     h.getDiff,
		"POST /rollbacks":               h.postRollback,
		"GET /compile":                  h.getCompile,
		"POST /compile":                 h.postCompile,
		"GET /explain":                  h.getExplain,
		"GET /instances":                h.listInstances,
		"PUT /instances/{service}/{id}": h.putInstance,
		"GET /rollouts":                 h.listRollouts,
		"POST /rollouts":                h.postRollout,
		"GET /rollouts/{id}":            h.getRollout,
		"POST /rollouts/{id}/{verb}":    h.changeRollout,
		"/": func(*call) error {
			return hal.NewProblem(http.StatusNotFound, "There is nothing here; / says where everything is.")
		},
	} {
		mux.Handle(pattern, h.serve(f))
	}
	mux.Handle("GET /page/", newPage(h.opts.Title, h.opts.Logger))
	return mux
}

// call is one request.
type call struct {
	h   *Handler
	w   http.ResponseWriter
	r   *http.Request
	q   url.Values
	who string
}

func (h *Handler) serve(f func(*call) error) http.Handler {
	return hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		who, err := h.opts.Identify(r)
		if err != nil {
			h.opts.Audit.LogAttrs(r.Context(), slog.LevelWarn, "config audit", slog.String("outcome", "unknown"), slog.String("method", r.Method), slog.String("path", r.URL.Path))
			return &hal.Problem{Status: http.StatusUnauthorized, Detail: "The request doesn't say who sends it.", Err: err}
		}
		w.Header().Set("Cache-Control", "no-cache")
		if err := f(&call{h: h, w: w, r: r, q: r.URL.Query(), who: who}); err != nil {
			return h.problem(r.Context(), err)
		}
		return nil
	})
}

func (c *call) ctx() context.Context { return c.r.Context() }

// href returns the path of a resource of the handler.
func (h *Handler) href(path string) string { return h.base.Path + path }

func (h *Handler) keyHref(key string) string { return h.href("/keys/" + key) }

type rootLinks struct {
	Self      hal.Link `json:"self"`
	Keys      hal.Link `json:"keys"`
	Key       hal.Link `json:"key"`
	Changes   hal.Link `json:"changes"`
	Diff      hal.Link `json:"diff"`
	Rollbacks hal.Link `json:"rollbacks"`
	Compile   hal.Link `json:"compile"`
	Explain   hal.Link `json:"explain"`
	Instances hal.Link `json:"instances"`
	Rollouts  hal.Link `json:"rollouts"`
	Page      hal.Link `json:"page"`
}

func (h *Handler) root(c *call) error {
	return hal.Write(c.w, c.r, http.StatusOK, struct {
		Links  rootLinks `json:"_links"`
		Driver string    `json:"driver"`
		Topic  string    `json:"topic,omitempty"`
		You    string    `json:"you"`
	}{rootLinks{
		Self: hal.To(h.href("/")), Keys: hal.TemplateTo(h.href("/keys{?prefix,after,limit,at}")), Key: hal.TemplateTo(h.href("/keys/{+key}{?version}")),
		Changes: hal.TemplateTo(h.href("/changes{?prefix,before,limit}")), Diff: hal.TemplateTo(h.href("/diff{?key,from,to}")),
		Rollbacks: hal.To(h.href("/rollbacks")), Compile: hal.TemplateTo(h.href("/compile{?key*,service,instance,reveal,at}")),
		Explain: hal.TemplateTo(h.href("/explain{?key*,service,instance,at}")), Instances: hal.TemplateTo(h.href("/instances{?key}")),
		Rollouts: hal.To(h.href("/rollouts")), Page: hal.To(h.href("/page/")),
	}, h.store.Driver().Name, h.opts.Topic, c.who}, nil)
}
