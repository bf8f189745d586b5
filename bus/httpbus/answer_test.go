package httpbus

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// bubble runs check in a bubble, where time passes only while everybody waits,
// with a client's bus and a server of the handler.
func bubble(t *testing.T, h http.HandlerFunc, check func(t *testing.T, client *bus.Bus, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		client, there := broker.Connect(nil), broker.Connect(nil)
		s, err := Serve(t.Context(), there, "svc", h, nil)
		if err != nil {
			t.Fatal(err)
		}
		check(t, client, s)
		for _, err := range []error{s.Shutdown(t.Context()), client.Shutdown(t.Context()), there.Shutdown(t.Context())} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// What a handler says is answered when it says so, and not when the client's
// patience with its question ends.
func TestAnswersAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		body io.Reader
		say  func(w http.ResponseWriter, r *http.Request)
	}{
		"by returning":     {nil, func(http.ResponseWriter, *http.Request) {}},
		"by a small write": {nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") }},
		"by a large write": {nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 5<<10))
			<-r.Context().Done()
		}},
		"by more than a window": {nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 3<<20))
			<-r.Context().Done()
		}},
		"by a flush":            {nil, func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() }},
		"by a panic":            {nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"after a streamed body": {struct{ io.Reader }{strings.NewReader("streamed")}, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.say, func(t *testing.T, client *bus.Bus, _ *Server) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://svc/", c.body)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				resp, err := NewTransport(client, nil).RoundTrip(req)
				if took := time.Since(began); took > 0 {
					t.Errorf("the head came after %v", took)
				}
				if err == nil {
					err = resp.Body.Close()
				}
				if _, aborted := errors.AsType[*AbortError](err); err != nil && !aborted {
					t.Error(err)
				}
			})
		})
	}
}

// A client that has nothing but the bus's own cancel is heard as well.
func TestCancelledQuestionCancelsTheHandler(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	client, there := connected(t)
	s, err := Serve(t.Context(), there, "svc", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-entered; cancel() }()
	f := frame{kind: kindOpen, flags: flagComplete, id: "x", method: "GET", target: "/", length: -1, wait: 60_000, limit: 100}
	if _, err := client.Ask(ctx, openSubject("svc"), pack(&f)); !errors.Is(err, context.Canceled) {
		t.Errorf("the question fails with Canceled, got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ends with Canceled, got %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A handler that outlasts the patience of Shutdown is cancelled, and its client
// told at once.
func TestShutdownTellsWhoWaits(t *testing.T) {
	handler := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	bubble(t, handler, func(t *testing.T, client *bus.Bus, s *Server) {
		failed := make(chan error, 1)
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/", http.NoBody)
			if err == nil {
				var resp *http.Response
				if resp, err = NewTransport(client, nil).RoundTrip(req); err == nil {
					_ = resp.Body.Close()
				}
			}
			failed <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown says that its time ran out, got %v", err)
		}
		if err := <-failed; err == nil || time.Since(began) > time.Second {
			t.Errorf("the client is told when the server gives up, got %v after %v", err, time.Since(began))
		}
	})
}
