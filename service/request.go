package service

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/hal"
)

// RequestIDHeader carries the id of a request from service to service.
const RequestIDHeader = "X-Request-Id"

// An Exchange is a request and how it went.
type Exchange struct {
	// ID is the request's id.
	ID string
	// Method is what the client sent; an unknown one is "OTHER", so that a hostile
	// client can't make up metrics.
	Method string
	// Pattern is the [http.ServeMux] pattern that matched, empty if none did.
	Pattern string
	// Path is the URL's path.
	Path string
	// Caller is the identity by which it was counted, see CallerLimit.
	Caller string
	// Status is that of the answer, Bytes its body's length.
	Status int
	Bytes  int64
	// Began is when the header had been read, Took the time until the handler
	// returned.
	Began time.Time
	Took  time.Duration
	// Panic is what the handler panicked with, nil if it didn't.
	Panic any
	// Refused says that the caller had as much under way as CallerLimit allows.
	Refused bool
	// Replayed says that the answer is an earlier one's, which [Idempotent] kept.
	Replayed bool
}

type contextKey int

const (
	idKey contextKey = iota
	drainKey
	outerKey
	exchangeKey
)

// RequestID returns the id of the request that ctx belongs to, empty if there is
// none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(idKey).(string)
	return id
}

// Draining returns a channel that is closed when requests should come to an end,
// for those that don't by themselves. It is nil outside of a request.
func Draining(ctx context.Context) <-chan struct{} {
	if c, ok := ctx.Value(drainKey).(context.Context); ok {
		return c.Done()
	}
	return nil
}

// chain puts around a handler what every request goes through.
func (s *Service) chain(h http.Handler) http.Handler {
	o := &s.opts
	h = bounded(o.MaxBody, matched(h))
	if o.RequestTimeout > 0 {
		h = Deadline(o.RequestTimeout)(h)
	}
	h = LimitCallers(o.Callers)(h)
	for _, wrap := range slices.Backward(o.Wrap) {
		h = wrap(h)
	}
	return s.record(h)
}

// bounded refuses bodies over the limit, at once when their length is known.
func bounded(limit int64, next http.Handler) http.Handler {
	if limit < 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			w.Header().Set("Connection", "close")
			hal.WriteProblem(w, r, hal.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body has %d bytes; %d are allowed.", r.ContentLength, limit)))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// record gives a request its id, answers for a handler that panicked, and tells
// how it went.
func (s *Service) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, ctx := time.Now(), r.Context()
		if s.opts.Begin != nil {
			ctx = s.opts.Begin(r)
		}
		x := &Exchange{ID: r.Header.Get(RequestIDHeader), Began: began, Path: r.URL.Path, Method: method(r.Method)}
		if !loggable(x.ID) {
			x.ID = rand.Text()
		}
		w.Header().Set(RequestIDHeader, x.ID)
		ctx = context.WithValue(ctx, idKey, x.ID)
		ctx = context.WithValue(ctx, drainKey, s.draining)
		ctx = context.WithValue(ctx, exchangeKey, x)
		r = r.WithContext(ctx)
		out := &recorder{ResponseWriter: w}
		defer func() {
			v := recover()
			x.Panic = v
			if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
				s.log.ErrorContext(ctx, "panic", "id", x.ID, "path", x.Path, "panic", v, "stack", string(debug.Stack()))
				if out.status == 0 {
					hal.WriteProblem(out, r, hal.NewProblem(http.StatusInternalServerError, "The request couldn't be answered; it is logged under its id, "+x.ID+"."))
					v = nil
				} else {
					v = http.ErrAbortHandler // part of an answer is out: cut it off, so that nobody takes it for whole
				}
			}
			s.told(ctx, x, out)
			if v != nil {
				panic(v) //nolint:forbidigo // the server's way to cut a connection
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// matched notes which pattern a ServeMux has matched: it says so in the request
// that it is given, which isn't the one that the server has made.
func matched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if x, ok := r.Context().Value(exchangeKey).(*Exchange); ok {
			defer func() { x.Pattern = r.Pattern }()
		}
		next.ServeHTTP(w, r)
	})
}

// under has next answer with another context. What matched the copy of the
// request that this takes is told to the original, see matched.
func under(ctx context.Context, next http.Handler, w http.ResponseWriter, r *http.Request) {
	own := r.WithContext(ctx)
	defer func() { r.Pattern = own.Pattern }()
	next.ServeHTTP(w, own)
}

func (s *Service) told(ctx context.Context, x *Exchange, out *recorder) {
	x.Took, x.Status, x.Bytes = time.Since(x.Began), out.status, out.bytes
	if x.Status == 0 {
		x.Status = http.StatusOK
	}
	level := slog.LevelDebug
	if x.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "request", slog.String("id", x.ID), slog.String("method", x.Method), slog.String("path", x.Path),
		slog.Int("status", x.Status), slog.Int64("bytes", x.Bytes), slog.Duration("took", x.Took), slog.String("caller", x.Caller))
	if s.opts.Observe != nil {
		s.opts.Observe(ctx, *x)
	}
}

// method bounds the methods that are told of to those that exist.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "QUERY":
		return m
	}
	return "OTHER"
}

// loggable reports whether an id from outside may stand in logs and headers.
func loggable(id string) bool {
	for i := range len(id) {
		c := id[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte("-_.:/+=", c) < 0 {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Flush implements [http.Flusher], which many handlers ask for by name.
func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
