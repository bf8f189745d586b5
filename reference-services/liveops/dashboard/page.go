package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/browser"
)

// Policy is the Content-Security-Policy of every answer.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed page.html page.css page.js
var files embed.FS

// Options configure a Page.
type Options struct {
	// Root is the root document of the service of live issues. It must be given.
	Root string
	// Links lead to other pages of the system.
	Links []Link
	// Browse is put before the URL of an order or a rider where people follow it, such
	// as "http://…/explorer/#". Default: the link leads to the resource itself.
	Browse string
	// Poll is how often the page asks for everything while it isn't told of changes.
	// Default 10 s.
	Poll time.Duration
	// Changes configures the page's connections.
	Changes *browser.Options
	// Logger hears what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// Link is a page of the system.
type Link struct{ Title, URL string }

// Page is the page as an http.Handler for /live/. It is safe for concurrent use.
type Page struct {
	opts    Options
	api     *hal.Client
	client  *resn.Client
	changes *browser.Handler
	fleet   fleet
	mux     *http.ServeMux
	page    *template.Template
	files   map[string][]byte
}

// Open returns the page. It hears notices over b and reads through client, which
// stay the caller's to close. ctx bounds only the subscribing. End it with Shutdown.
func Open(ctx context.Context, b *bus.Bus, client *resn.Client, opts *Options) (*Page, error) {
	p := &Page{client: client, mux: http.NewServeMux(), files: map[string][]byte{}}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Poll <= 0 {
		p.opts.Poll = 10 * time.Second
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if p.opts.Root == "" {
		return nil, errors.New("dashboard: Options.Root is empty; it must be the root of the service of live issues")
	}
	for _, name := range []string{"page.html", "page.css", "page.js"} {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		p.files[name] = text
	}
	p.page = template.Must(template.New("page").Parse(string(p.files["page.html"])))
	p.api = hal.NewClient(&hal.ClientOptions{HTTP: client.HTTP()})
	var err error
	if p.changes, err = browser.Open(ctx, b, []string{liveops.Topic}, p.opts.Changes); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	p.mux.HandleFunc("GET /live/{$}", p.show)
	p.mux.HandleFunc("GET /live/page.css", p.file)
	p.mux.HandleFunc("GET /live/page.js", p.file)
	p.mux.Handle("GET /live/changes", p.changes)
	p.mux.HandleFunc("GET /live/riders", p.serveRiders)
	p.mux.Handle("POST /live/do", hal.Handler(p.do))
	return p, nil
}

// Shutdown ends the page's connections. Call it before the server's.
func (p *Page) Shutdown(ctx context.Context) error { return p.changes.Shutdown(ctx) }

// Stats returns what there is of connections.
func (p *Page) Stats() browser.Stats { return p.changes.Stats() }

// ServeHTTP serves the page and what belongs to it.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	p.mux.ServeHTTP(w, r)
}

func (p *Page) show(w http.ResponseWriter, _ *http.Request) {
	var body bytes.Buffer
	err := p.page.Execute(&body, map[string]any{
		"Topic": liveops.Topic, "Links": p.opts.Links, "Browse": p.opts.Browse, "Poll": p.opts.Poll.Milliseconds(),
	})
	if err != nil {
		http.Error(w, "The page can't be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	_, _ = body.WriteTo(w)
}

func (p *Page) file(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(p.files[name]))
}
