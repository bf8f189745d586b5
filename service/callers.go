package service

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/hal"
)

// CallerLimit bounds what one caller may ask for at once.
type CallerLimit struct {
	// Max is how many requests of one caller are worked on at a time. One more is
	// answered with 429 (RFC 6585). Default 256, negative for no limit.
	Max int
	// Key names a request's caller; requests of the caller "" are not limited.
	// Default: [Caller].
	Key func(*http.Request) string
}

// Caller returns who makes a request: the service or the account that the
// verified token names, and without one, the address it comes from. Behind a
// proxy that is the proxy, for whatever a request says of itself can be made up.
func Caller(r *http.Request) string {
	if c, ok := auth.FromContext(r.Context()); ok {
		if name := c.Service(); name != "" {
			return "service " + name
		}
		return "account " + c.Application + "/" + c.Subject
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "address " + host
}

// LimitCallers lets each caller have limit.Max requests at a time, so that one
// that floods or hangs takes nothing from the others. It remembers only callers
// whose requests are under way.
func LimitCallers(limit CallerLimit) func(http.Handler) http.Handler {
	if limit.Max == 0 {
		limit.Max = 256
	}
	if limit.Key == nil {
		limit.Key = Caller
	}
	return func(next http.Handler) http.Handler {
		c := &callers{busy: make(map[string]int)}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := limit.Key(r)
			x, told := r.Context().Value(exchangeKey).(*Exchange)
			if told {
				x.Caller = who
			}
			if limit.Max > 0 && who != "" {
				if !c.enter(who, limit.Max) {
					if told {
						x.Refused = true
					}
					w.Header().Set("Retry-After", "1")
					hal.WriteProblem(w, r, hal.NewProblem(http.StatusTooManyRequests, fmt.Sprintf("%d requests of yours are under way; that is as many as one caller may have.", limit.Max)))
					return
				}
				defer c.leave(who)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// callers counts requests under way.
type callers struct {
	mu   sync.Mutex
	busy map[string]int
}

func (c *callers) enter(who string, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[who] >= most {
		return false
	}
	c.busy[who]++
	return true
}

func (c *callers) leave(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[who]--; c.busy[who] == 0 {
		delete(c.busy, who)
	}
}
