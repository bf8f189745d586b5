package hal

import (
	"errors"
	"fmt"
	"net/http"
)

// MuxOptions configure NewMux. The zero value and nil are useful.
type MuxOptions struct {
	// OnError hears of errors that clients are told nothing of, because they
	// aren't problems: somebody else must be. Requests whose client has gone
	// aren't reported. It must be safe for concurrent use. Default: nobody hears.
	OnError func(r *http.Request, err error)
}

// Mux is an http.ServeMux of handlers that may fail. What no pattern matches is
// answered with a problem document too: 404, or 405 with Allow. It is safe for
// concurrent use.
type Mux struct {
	mux     http.ServeMux
	onError func(r *http.Request, err error)
}

// NewMux returns a Mux without handlers.
func NewMux(opts *MuxOptions) *Mux {
	m := &Mux{}
	if opts != nil {
		m.onError = opts.OnError
	}
	return m
}

// Handle adds a handler, as http.ServeMux.Handle does. Like it, it panics
// without one.
func (m *Mux) Handle(pattern string, h Handler) {
	if h == nil {
		panic(fmt.Sprintf("hal: Mux.Handle: the handler of %q is nil", pattern)) //nolint:forbidigo // programmer error
	}
	m.mux.Handle(pattern, Handler(func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if known := (Problemer)(nil); err != nil && m.onError != nil && !errors.As(err, &known) && r.Context().Err() == nil {
			m.onError(r, err)
		}
		return err
	}))
}

// ServeHTTP calls the handler whose pattern matches.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := m.mux.Handler(r); pattern != "" {
		m.mux.ServeHTTP(w, r)
		return
	}
	// Let the mux choose between 404 and 405, and take its header.
	rec := &statusRecorder{header: http.Header{}}
	m.mux.ServeHTTP(rec, r)
	p := NewProblem(rec.status, "")
	if rec.status == http.StatusMethodNotAllowed {
		p.Header = http.Header{"Allow": rec.header["Allow"]}
		p.Detail = r.Method + " isn't allowed here; " + rec.header.Get("Allow") + " is."
	}
	WriteProblem(w, r, p)
}

// statusRecorder keeps the status and header of an answer, and drops its body.
type statusRecorder struct {
	header http.Header
	status int
}

func (r *statusRecorder) Header() http.Header         { return r.header }
func (r *statusRecorder) WriteHeader(status int)      { r.status = status }
func (r *statusRecorder) Write(p []byte) (int, error) { return len(p), nil }
