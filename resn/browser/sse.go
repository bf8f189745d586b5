package browser

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// serverSent serves a page by server-sent events.
func (h *Handler) serverSent(w http.ResponseWriter, r *http.Request, p *page) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // proxies that would collect it
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" { // checked
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	out := &eventStream{w: bufio.NewWriter(w), c: http.NewResponseController(w), timeout: h.opts.WriteTimeout}
	w.WriteHeader(http.StatusOK)
	// Pages that lost a server together don't come back together.
	out.line("retry: ", strconv.AppendInt(nil, 1000+rand.Int64N(2000), 10))
	out.line("", nil)
	if err := out.flush(r.Context()); err != nil {
		return
	}
	p.serve(r.Context(), out)
}

// eventStream writes in the format of HTML section 9.2.
type eventStream struct {
	w       *bufio.Writer
	c       *http.ResponseController
	timeout time.Duration
	dirty   bool
}

// line writes one line; the writer keeps its first error until flush.
func (s *eventStream) line(field string, value []byte) {
	_, _ = s.w.WriteString(field)
	_, _ = s.w.Write(value)
	_ = s.w.WriteByte('\n')
	s.dirty = true
}

func (s *eventStream) write(_ context.Context, event string, id, data []byte) error {
	if !s.dirty {
		if err := s.deadline(); err != nil {
			return err
		}
	}
	s.line("event: ", []byte(event))
	if id != nil {
		s.line("id: ", id)
	}
	s.line("data: ", data)
	s.line("", nil)
	_, err := s.w.Write(nil)
	return err
}

func (s *eventStream) flush(context.Context) error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	if err := s.deadline(); err != nil {
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	return s.c.Flush()
}

// deadline bounds how long the page may take nothing. A writer that knows no
// deadlines is bounded by its server.
func (s *eventStream) deadline() error {
	err := s.c.SetWriteDeadline(time.Now().Add(s.timeout))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
