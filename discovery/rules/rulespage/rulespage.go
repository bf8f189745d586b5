// Package rulespage serves a page on which a person asks what becomes of a
// request: which rules were tried, what matched, who won and why; and what
// lint has to say.
//
//	mux.Handle("/rules/", rulespage.New(handler.Engine, nil))
//
// The page works without JavaScript, under a Content-Security-Policy that
// allows none. It shows all rules, with their notes and services, to whoever
// can open it: mount it on an admin port or behind a login. It changes
// nothing.
package rulespage

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"net/netip"
	"path"
	"strings"

	"github.com/goswale/swale/discovery/rules"
)

//go:embed assets
var assets embed.FS

// Policy is the Content-Security-Policy of every answer.
const Policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Options configure New. The zero value and nil are useful.
type Options struct {
	// Title is the page's head. Default: "Rules".
	Title string
	// Shown is how many rules are listed, and of those that don't match a request
	// explained. Default: 200.
	Shown int
}

// Page is the handler. Mount it at a path that ends with a slash. It is safe
// for concurrent use.
type Page struct {
	engine func() *rules.Engine
	opts   Options
	page   *template.Template
	style  []byte
}

// New returns a page about the engine that the function returns at the time of
// the request; it may be nil while there is none.
func New(engine func() *rules.Engine, opts *Options) *Page {
	p := &Page{engine: engine, page: template.Must(template.ParseFS(assets, "assets/page.html"))}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Title == "" {
		p.opts.Title = "Rules"
	}
	if p.opts.Shown <= 0 {
		p.opts.Shown = 200
	}
	style, err := assets.ReadFile("assets/page.css")
	if err == nil { // it was embedded
		p.style = style
	}
	return p
}

// form is what the page's form holds.
type form struct {
	Method, Host, Path, Client, ID, Headers, Attributes string
	Proxy                                               bool
}

// view is what the page shows.
type view struct {
	Title    string
	Form     form
	Methods  []string
	Problem  string
	Asked    bool
	Count    int
	Rules    []line
	Findings []rules.Finding
	Result   *rules.Explanation
	Matched  []rules.Trial
	Missed   []rules.Trial
	Hidden   int
}

// ServeHTTP serves the page, its style, and with Accept: application/json the
// explanation alone.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch path.Base("/" + r.URL.Path) {
	case "page.css":
		h.Set("Content-Type", "text/css; charset=utf-8")
		h.Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(p.style)
		return
	}
	h.Set("Cache-Control", "no-store")
	v := p.view(r)
	if strings.Contains(r.Header.Get("Accept"), "application/json") && v.Result != nil {
		h.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v.Result)
		return
	}
	var body bytes.Buffer
	if err := p.page.Execute(&body, v); err != nil {
		http.Error(w, "the page can't be shown", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	if v.Problem != "" {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = body.WriteTo(w)
}

func (p *Page) view(r *http.Request) view {
	q := r.URL.Query()
	v := view{
		Title: p.opts.Title, Asked: q.Has("path"),
		Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
		Form: form{
			Method: q.Get("method"), Host: q.Get("host"), Path: q.Get("path"), Client: q.Get("client"), ID: q.Get("id"),
			Headers: q.Get("headers"), Attributes: q.Get("attributes"), Proxy: q.Get("proxy") != "",
		},
	}
	if v.Form.Method == "" {
		v.Form.Method = http.MethodGet
	}
	engine := p.engine()
	if engine == nil {
		v.Problem = "There are no rules yet."
		return v
	}
	v.Count = len(engine.Rules())
	v.Findings = engine.Lint()
	if !v.Asked {
		v.Rules, v.Hidden = p.list(engine.Rules())
		return v
	}
	asked, problem := v.Form.request()
	if problem != "" {
		v.Problem = problem
		return v
	}
	v.Result = engine.Explain(asked)
	for _, t := range v.Result.Trials {
		switch {
		case t.Matched:
			v.Matched = append(v.Matched, t)
		case len(v.Missed) < p.opts.Shown:
			v.Missed = append(v.Missed, t)
		default:
			v.Hidden++
		}
	}
	return v
}

// line is one rule of the list.
type line struct{ ID, Note, Match, Does string }

// list shows the rules as they are written, and says how many it doesn't.
func (p *Page) list(all []*rules.Rule) (lines []line, hidden int) {
	shown := min(len(all), p.opts.Shown)
	for _, r := range all[:shown] {
		does := *r
		does.ID, does.Note, does.Match = "", "", rules.Match{}
		lines = append(lines, line{r.ID, r.Note, written(r.Match), strings.Replace(written(does), `"id":"",`, "", 1)})
	}
	return lines, len(all) - shown
}

func written(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // it was read from JSON
		return err.Error()
	}
	return string(b)
}

// request makes the request that the form describes, or says what is wrong.
func (f *form) request() (*rules.Request, string) {
	r := &rules.Request{Method: f.Method, Host: f.Host, ID: f.ID, FromProxy: f.Proxy, Header: http.Header{}, Attributes: map[string]string{}}
	r.Path, r.Query, _ = strings.Cut(f.Path, "?")
	if f.Client != "" {
		addr, err := netip.ParseAddr(f.Client)
		if err != nil {
			return nil, "The client must be an IP address, such as 192.0.2.1."
		}
		r.Client = addr
	}
	if !lines(f.Headers, r.Header.Add) {
		return nil, "Write a header field a line, as Name: value."
	}
	if !lines(f.Attributes, func(n, value string) { r.Attributes[n] = value }) {
		return nil, "Write an attribute a line, as name: value."
	}
	return r, ""
}

func lines(text string, add func(name, value string)) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return false
		}
		add(name, strings.TrimSpace(value))
	}
	return true
}
