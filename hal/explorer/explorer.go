package explorer

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// Options configure New. The zero value and nil are useful: an explorer of the
// origin that serves it, from / on.
type Options struct {
	// Start is the URL that the page opens with; a relative one is of the page's
	// own origin. Default: "/".
	Start string
	// Title is shown in the page's head. Default: "API explorer".
	Title string
	// Origins are the origins ("http://127.0.0.1:8081") that the handler may
	// call, beside Start's own when that is absolute; "*" is any, which is for a
	// developer's own machine. Default: none.
	Origins []string
	// Transport calls them. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// MaxBytes limits the body of a response. Default: 4 MiB.
	MaxBytes int64
	// Timeout limits one call. Default: 30 s.
	Timeout time.Duration
	// Logger gets calls that failed. Default: none are logged.
	Logger *slog.Logger
}

// Explorer is the handler. It may be mounted at any path that ends with a
// slash, with or without http.StripPrefix. It is safe for concurrent use.
type Explorer struct {
	opts    Options
	origins map[string]bool
	any     bool
	page    *template.Template
	files   map[string]file
	guard   *http.CrossOriginProtection
}

type file struct {
	data        []byte
	contentType string
	etag        string
}

// Policy is the Content-Security-Policy that every response of an Explorer
// has.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// New returns an Explorer.
func New(opts *Options) *Explorer {
	e := &Explorer{origins: make(map[string]bool), files: make(map[string]file), guard: http.NewCrossOriginProtection()}
	if opts != nil {
		e.opts = *opts
	}
	if e.opts.Start == "" {
		e.opts.Start = "/"
	}
	if e.opts.Title == "" {
		e.opts.Title = "API explorer"
	}
	if e.opts.Transport == nil {
		e.opts.Transport = http.DefaultTransport
	}
	if e.opts.MaxBytes <= 0 {
		e.opts.MaxBytes = 4 << 20
	}
	if e.opts.Timeout <= 0 {
		e.opts.Timeout = 30 * time.Second
	}
	if e.opts.Logger == nil {
		e.opts.Logger = slog.New(slog.DiscardHandler)
	}
	for _, o := range append([]string{e.opts.Start}, e.opts.Origins...) {
		if o == "*" {
			e.any = true
		} else if u, err := url.Parse(o); err == nil && u.Host != "" {
			e.origins[origin(u)] = true
		}
	}
	e.page = template.Must(template.ParseFS(assets, "assets/index.html"))
	entries, err := assets.ReadDir("assets")
	if err != nil {
		return e // an embedded folder that can be parsed can be read
	}
	for _, entry := range entries {
		data, err := assets.ReadFile("assets/" + entry.Name())
		if err != nil || entry.Name() == "index.html" {
			continue
		}
		sum := sha256.Sum256(data)
		e.files[entry.Name()] = file{data, contentType(entry.Name()), `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return e
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

func origin(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// ServeHTTP serves the page, its files, and the calls that it makes.
func (e *Explorer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if name == "call" {
		e.guard.Handler(http.HandlerFunc(e.call)).ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if f, ok := e.files[name]; ok {
		h.Set("Content-Type", f.contentType)
		h.Set("Etag", f.etag)
		h.Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(f.data)
		return
	}
	// The page names its files relative to itself, so its path must end with a
	// slash: that of the request, which StripPrefix leaves alone.
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil && !strings.HasSuffix(asked.Path, "/") {
		if path.Ext(name) != "" {
			http.NotFound(w, r)
			return
		}
		h.Set("Location", "./"+url.PathEscape(path.Base(asked.Path))+"/")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	proxied := make([]string, 0, len(e.origins))
	for o := range e.origins {
		proxied = append(proxied, o)
	}
	if e.any {
		proxied = append(proxied, "*")
	}
	if err := e.page.Execute(w, map[string]any{
		"Title": e.opts.Title, "Start": e.opts.Start, "Origins": strings.Join(proxied, " "),
	}); err != nil {
		e.opts.Logger.WarnContext(r.Context(), "explorer: the page was not sent", slog.Any("error", err))
	}
}
