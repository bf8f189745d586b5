package life

import (
	"log/slog"
	"net/http"
	"sync"
)

// watch notices which services don't answer, and says so once. They are asked again
// by whoever has a use for them.
type watch struct {
	next http.RoundTripper
	log  *slog.Logger

	mu   sync.Mutex
	down map[string]bool // by host
}

func newWatch(next http.RoundTripper, log *slog.Logger) *watch {
	if next == nil {
		next = http.DefaultTransport
	}
	return &watch{next: next, log: log, down: make(map[string]bool)}
}

func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if r.Context().Err() != nil {
		return resp, err // it wasn't waited for
	}
	down := err != nil || resp.StatusCode >= 500
	w.mu.Lock()
	was := w.down[r.URL.Host]
	w.down[r.URL.Host] = down
	w.mu.Unlock()
	switch {
	case down && !was && err != nil:
		w.log.Warn("a service doesn't answer; the city goes on without it", "service", r.URL.Host, "error", err)
	case down && !was:
		w.log.Warn("a service doesn't answer well; the city goes on without it", "service", r.URL.Host, "status", resp.Status)
	case was && !down:
		w.log.Info("a service answers again", "service", r.URL.Host)
	}
	return resp, err
}

// CloseIdleConnections closes those of the transport.
func (w *watch) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
