package bustest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func testRequest(t *testing.T, s *suite) {
	client, server, subject := s.bus(t), s.bus(t), name("echo")
	_, err := server.Serve(s.ctx(t), subject, "g", func(_ context.Context, e bus.Event) (bus.Event, error) {
		switch e.Subject {
		case "error":
			return bus.Event{}, errOnPurpose
		case "panic":
			panic("on purpose")
		}
		e.Type = "echo"
		return e, nil
	}, nil)
	must(t, err, "Serve")
	want := samples()
	got := make([]bus.Event, len(want))
	for i, e := range want {
		got[i], err = client.Request(s.ctx(t), subject, e)
		must(t, err, "Request")
		want[i].Type = "echo"
	}
	compare(t, "request", got, want)

	var remote *bus.RemoteError
	_, err = client.Request(s.ctx(t), subject, bus.Event{Type: "t", Subject: "error"})
	if !errors.As(err, &remote) || remote.Message != errOnPurpose.Error() {
		t.Errorf("the server's error comes as a RemoteError, got %v", err)
	}
	_, err = client.Request(s.ctx(t), subject, bus.Event{Type: "t", Subject: "panic"})
	if !errors.As(err, &remote) {
		t.Errorf("the server's panic comes as a RemoteError, got %v", err)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			id := strconv.Itoa(i)
			got, err := client.Request(s.ctx(t), subject, bus.Event{ID: id, Type: "t"})
			if err != nil || got.ID != id {
				t.Errorf("each of many requests gets its own answer: request %s, answer %s, error %v", id, got.ID, err)
			}
		})
	}
	wg.Wait()
}

func testRequestDeadline(t *testing.T, s *suite) {
	client, server, subject := s.bus(t), s.bus(t), name("deadline")
	left := make(chan time.Duration, 2)
	_, err := server.Serve(s.ctx(t), subject, "g", func(ctx context.Context, e bus.Event) (bus.Event, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			t.Error("the deadline travels with the request: the server's context has none")
		}
		left <- time.Until(deadline)
		if e.Subject == "wait" {
			<-ctx.Done()
		}
		return e, ctx.Err()
	}, nil)
	must(t, err, "Serve")
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = client.Request(ctx, subject, bus.Event{Type: "t"})
	must(t, err, "Request")
	if d := <-left; d > time.Hour || d < 50*time.Minute {
		t.Errorf("the deadline travels with the request: 1 h became %v", d)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err = client.Request(short, subject, bus.Event{Type: "t", Subject: "wait"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its deadline a request fails with DeadlineExceeded, got %v", err)
	}
}

func testRequestCancel(t *testing.T, s *suite) {
	client, server, subject := s.bus(t), s.bus(t), name("cancel")
	started, seen := make(chan struct{}), make(chan struct{})
	_, err := server.Serve(s.ctx(t), subject, "g", func(ctx context.Context, _ bus.Event) (bus.Event, error) {
		close(started)
		<-ctx.Done()
		close(seen)
		return bus.Event{}, ctx.Err()
	}, nil)
	must(t, err, "Serve")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() { <-started; cancel() }()
	if _, err := client.Request(ctx, subject, bus.Event{Type: "t"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request fails with Canceled, got %v", err)
	}
	select {
	case <-seen:
	case <-s.ctx(t).Done():
		t.Error("the server sees its caller's cancel")
	}
}

func testNoResponders(t *testing.T, s *suite) {
	client, subject := s.bus(t), name("nobody")
	_, err := client.Request(s.ctx(t), subject, bus.Event{Type: "t"})
	if !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("without a server a request doesn't wait for one, and fails with ErrNoResponders: got %v", err)
	}
	sub, err := s.bus(t).Serve(s.ctx(t), subject, "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil)
	must(t, err, "Serve")
	_, err = client.Request(s.ctx(t), subject, bus.Event{Type: "t"})
	must(t, err, "a request right after Serve returned reaches the server")
	must(t, sub.Close(s.ctx(t)), "Close")
	if _, err = client.Request(s.ctx(t), subject, bus.Event{Type: "t"}); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("after the last server closed a request fails with ErrNoResponders, got %v", err)
	}
}

func testServers(t *testing.T, s *suite) {
	client, subject := s.bus(t), name("servers")
	var calls [3]atomic.Int32
	for i := range calls {
		_, err := s.bus(t).Serve(s.ctx(t), subject, "g", func(_ context.Context, e bus.Event) (bus.Event, error) {
			calls[i].Add(1)
			return e, nil
		}, nil)
		must(t, err, "Serve")
	}
	for range 300 {
		_, err := client.Request(s.ctx(t), subject, bus.Event{Type: "t"})
		must(t, err, "Request")
	}
	total := int32(0)
	for i := range calls {
		n := calls[i].Load()
		total += n
		if n == 0 {
			t.Errorf("requests are spread over the servers of a group: server %d got none of 300", i)
		}
	}
	if total != 300 {
		t.Errorf("each request goes to one server: 300 became %d", total)
	}
}
