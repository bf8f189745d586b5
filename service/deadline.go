package service

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// DeadlineHeader tells the callee how many milliseconds the caller will still
// wait. Envoy and the meshes built on it send the same field.
const DeadlineHeader = "X-Envoy-Expected-Rq-Timeout-Ms"

// Deadline gives each request a deadline: the caller's, if it told of one, but at
// the most longest from now. So work that nobody waits for any more ends, here and
// in whatever is called with the request's context. A caller can only shorten it.
// Reading the body and writing the answer end then too, whatever the client
// does. [Stream] takes a handler out of it.
func Deadline(longest time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			within := longest
			if ms, err := strconv.ParseInt(r.Header.Get(DeadlineHeader), 10, 64); err == nil && ms > 0 && ms < within.Milliseconds() {
				within = time.Duration(ms) * time.Millisecond
			}
			outer := r.Context()
			ctx, cancel := context.WithTimeout(context.WithValue(outer, outerKey, outer), within)
			defer cancel()
			// A moment more than the handler has, so that it can say that it was late.
			// Not every ResponseWriter can do it; then the context has to do.
			end := time.Now().Add(within + lateAnswer)
			c := http.NewResponseController(w)
			_ = c.SetReadDeadline(end)
			_ = c.SetWriteDeadline(end)
			next.ServeHTTP(w, r.WithContext(ctx))
			_ = c.SetWriteDeadline(time.Time{}) // the connection's next request begins anew
			_ = c.SetReadDeadline(time.Time{})
		})
	}
}

// lateAnswer is what a handler has to answer in after its deadline.
const lateAnswer = 5 * time.Second

// Stream takes a handler out of [Deadline]: one that answers for as long as the
// client listens, such as server-sent events. The request's context ends when the
// service drains, as it does when the client leaves; [Draining] tells the one from
// the other, for a last word.
func Stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if outer, ok := ctx.Value(outerKey).(context.Context); ok {
			c := http.NewResponseController(w)
			_ = c.SetReadDeadline(time.Time{})
			_ = c.SetWriteDeadline(time.Time{})
			ctx = unhurried{outer, ctx}
		}
		if drain, ok := ctx.Value(drainKey).(context.Context); ok {
			var end context.CancelFunc
			ctx, end = context.WithCancel(ctx)
			defer end()
			defer context.AfterFunc(drain, end)()
		}
		under(ctx, next, w, r)
	})
}

// unhurried ends with one context and has the values of another.
type unhurried struct {
	context.Context
	values context.Context
}

func (c unhurried) Value(key any) any { return c.values.Value(key) }

// PassDeadline is the other side of [Deadline]: a transport that tells the callee
// how long the request's context still has.
func PassDeadline(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return passer{next}
}

type passer struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (p passer) RoundTrip(r *http.Request) (*http.Response, error) {
	if end, ok := r.Context().Deadline(); ok && r.Header.Get(DeadlineHeader) == "" {
		r = r.Clone(r.Context())
		r.Header.Set(DeadlineHeader, strconv.FormatInt(max(1, time.Until(end).Milliseconds()), 10))
	}
	return p.next.RoundTrip(r)
}
