package server

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// Policy is the Content-Security-Policy of the page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// page serves the page and its files.
type page struct {
	title string
	html  *template.Template
	files map[string]pageFile
	log   *slog.Logger
}

type pageFile struct {
	data []byte
	kind string
	etag string
}

var pageKinds = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

func newPage(title string, log *slog.Logger) *page {
	p := &page{title: title, html: template.Must(template.ParseFS(assets, "assets/index.html")), files: map[string]pageFile{}, log: log}
	entries, _ := assets.ReadDir("assets") // an embedded folder that can be parsed can be read
	for _, e := range entries {
		data, err := assets.ReadFile("assets/" + e.Name())
		if kind := pageKinds[path.Ext(e.Name())]; err == nil && kind != "" {
			sum := sha256.Sum256(data)
			p.files[e.Name()] = pageFile{data, kind, `"` + hex.EncodeToString(sum[:8]) + `"`}
		}
	}
	return p
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range map[string]string{
		"Content-Security-Policy": Policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		h.Set(name, value)
	}
	name := strings.TrimPrefix(r.URL.Path, "/page/")
	if name == "" {
		h.Set("Content-Type", "text/html; charset=utf-8")
		if err := p.html.Execute(w, p.title); err != nil {
			p.log.WarnContext(r.Context(), "config: the page was not sent", slog.Any("error", err))
		}
		return
	}
	f, ok := p.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Etag", f.etag)
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.data) // the reader may have left
}
