package bustest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func testQuestions(t *testing.T, s *suite) {
	client, server, subject := s.bus(t), s.bus(t), name("questions")
	goOn := make(chan struct{})
	var running atomic.Int32
	sub, err := server.Questions(s.ctx(t), subject, "g", func(q *bus.Question) {
		running.Add(1)
		defer running.Add(-1)
		how, rest, _ := bytes.Cut(q.Data, []byte(" "))
		switch string(how) {
		case "later":
			go q.Answer(rest)
		case "early":
			q.Answer(rest)
			<-goOn
		case "twice":
			q.Answer(rest)
			q.Fail(errOnPurpose)
		case "error":
			q.Fail(errOnPurpose)
		case "panic":
			panic("on purpose")
		}
	}, nil)
	must(t, err, "Questions")
	for _, rest := range []string{"", "text", `{"specversion":"1.0"}`, "[]", "\x01\x00\xff\r\n", strings.Repeat("x", 50<<10)} {
		for _, how := range []string{"later", "early", "twice"} {
			got, err := client.Ask(s.ctx(t), subject, []byte(how+" "+rest))
			if err != nil || string(got) != rest {
				t.Errorf("a question and its answer, given %s, travel as they are: %.30q became %.30q, %v", how, rest, got, err)
			}
		}
	}
	var remote *bus.RemoteError
	if _, err = client.Ask(s.ctx(t), subject, []byte("error")); !errors.As(err, &remote) || remote.Message != errOnPurpose.Error() {
		t.Errorf("Fail comes as a RemoteError, got %v", err)
	}
	if _, err = client.Ask(s.ctx(t), subject, []byte("panic")); !errors.As(err, &remote) {
		t.Errorf("the server's panic comes as a RemoteError, got %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(goOn) })
	must(t, sub.Close(s.ctx(t)), "Close")
	if n := running.Load(); n != 0 {
		t.Errorf("Close waits for handlers that have answered and go on, %d still run", n)
	}
	if _, err = client.Ask(s.ctx(t), subject, nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("without a server a question fails with ErrNoResponders, got %v", err)
	}
}

func testQuestionCancel(t *testing.T, s *suite) {
	client, server, subject := s.bus(t), s.bus(t), name("questioncancel")
	asked, seen := make(chan struct{}), make(chan struct{})
	_, err := server.Questions(s.ctx(t), subject, "g", func(q *bus.Question) {
		q.OnCancel(func() { t.Error("the last function that OnCancel was given is called, not one before") })
		q.OnCancel(func() { close(seen) })
		close(asked)
	}, nil)
	must(t, err, "Questions")
	ctx, cancel := context.WithCancel(s.ctx(t))
	go func() { <-asked; cancel() }()
	if _, err := client.Ask(ctx, subject, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled question fails with Canceled, got %v", err)
	}
	select {
	case <-seen:
	case <-s.ctx(t).Done():
		t.Error("the server sees its caller's cancel of a question whose handler has returned")
	}
}
