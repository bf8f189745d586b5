package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/service"
)

// What measures requests is told of their routes whatever is around the handlers,
// of what was refused and what was answered again, and its context is that of
// handlers and log lines.
func TestWhatObserversAreTold(t *testing.T) {
	type key struct{}
	inside, leave := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Context().Value(key{})) })
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "7") })
	mux.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-leave
	})
	seen := make(chan service.Exchange, 1)
	s := start(t, service.Options{
		Handler: service.Idempotent(service.NewMemoryIdempotency(0), nil)(service.Stream(mux)),
		Callers: service.CallerLimit{Max: 1},
		Begin: func(r *http.Request) context.Context {
			return context.WithValue(r.Context(), key{}, "trace of "+r.Method)
		},
		Observe: func(ctx context.Context, x service.Exchange) {
			if ctx.Value(key{}) != "trace of "+x.Method {
				t.Errorf("told of %s with the context %v", x.Method, ctx)
			}
			seen <- x
		},
		LogAttrs: func(ctx context.Context) []slog.Attr {
			if v, ok := ctx.Value(key{}).(string); ok {
				return []slog.Attr{slog.String("trace", v)}
			}
			return nil
		},
	})
	if _, body := get(t, s.url+"/orders/7"); body != "7" {
		t.Error(body)
	}
	if x := <-seen; x.Pattern != "GET /orders/{id}" {
		t.Errorf("below Stream, the pattern is %q", x.Pattern)
	}
	for _, again := range []bool{false, true} {
		header := map[string]string{service.IdempotencyKeyHeader: "k1"}
		if _, body := do(t, http.MethodPost, s.url+"/orders", "", header); body != "trace of POST" {
			t.Errorf("the handler's context says %q", body)
		}
		x := <-seen
		if x.Replayed != again {
			t.Errorf("answered again is %v, want %v", x.Replayed, again)
		}
		if !again && x.Pattern != "POST /orders" {
			t.Errorf("below Idempotent, the pattern is %q", x.Pattern)
		}
	}
	slow := make(chan error, 1)
	go func() {
		_, err := try(t, http.DefaultClient, http.MethodGet, s.url+"/slow", "", nil)
		slow <- err
	}()
	<-inside
	if code, _ := get(t, s.url+"/orders/8"); code != http.StatusTooManyRequests {
		t.Errorf("over the limit: %d", code)
	}
	if x := <-seen; !x.Refused {
		t.Errorf("refused, and told as %+v", x)
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	if x := <-seen; x.Refused {
		t.Errorf("answered, and told as %+v", x)
	}
	if log := s.log.String(); !strings.Contains(log, `path=/slow`) || !strings.Contains(log, `trace="trace of GET"`) {
		t.Errorf("the lines of requests say what their context says: %s", log)
	}
}

func TestFindings(t *testing.T) {
	s := start(t, service.Options{Handler: answer("hello"), Setup: func(_ context.Context, s *service.Service) error {
		failed := false
		s.Check("database", func(context.Context) error { return nil })
		s.Check("broker", func(context.Context) error {
			if failed {
				return nil
			}
			failed = true
			return errors.New("not yet")
		})
		return nil
	}})
	found := s.Findings()
	if len(found) != 2 || found[0].Name != "database" || found[0].Err != nil || found[1].Err != nil || found[1].At.IsZero() {
		t.Errorf("found %+v", found)
	}
	if s.Draining() {
		t.Error("it drains")
	}
	s.stop()
	eventually(t, "it drains", s.Draining)
}
