package rabbitbus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// answering notes what a server says of requests.
type answering struct {
	channel
	said []string
}

func (a *answering) Publish(_, _ string, _, _ bool, m amqp.Publishing) error {
	if m.Headers[headerError] != nil {
		a.said = append(a.said, "error")
	} else {
		a.said = append(a.said, "answer")
	}
	return nil
}

func (a *answering) Ack(uint64, bool) error {
	a.said = append(a.said, "ack")
	return nil
}

// TestAnswersGoToCallersOnly is about requests that name a queue for the answer, such
// as a group's.
func TestAnswersGoToCallersOnly(t *testing.T) {
	s := &server{c: &conn{log: slog.New(slog.DiscardHandler)}}
	for to, want := range map[string][]string{
		replyTo + ".g1h2": {"answer", "ack"},
		"swale:orders:g":  {"ack"},
		"":                {"ack"},
	} {
		ch := new(answering)
		s.answer(t.Context(), ch, &amqp.Delivery{ReplyTo: to, CorrelationId: "1"}, amqp.Publishing{})
		if !slices.Equal(ch.said, want) {
			t.Errorf("asked to answer to %q the server says %q; want %q", to, ch.said, want)
		}
	}
}

// TestNoErrorIsSentAfterTheDeadline is about two clocks: a caller that hears of the
// deadline from the server takes it for the server's own failure.
func TestNoErrorIsSentAfterTheDeadline(t *testing.T) {
	failure := errors.New("no")
	for name, c := range map[string]struct {
		takes time.Duration
		fails error
		want  []string
	}{
		"in time":           {time.Second, nil, []string{"answer", "ack"}},
		"failed in time":    {time.Second, failure, []string{"error", "ack"}},
		"failed afterwards": {3 * time.Second, failure, []string{"ack"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{hctx: t.Context(), running: make(map[string]context.CancelFunc)}
				s.h = func(context.Context, driver.Message) (driver.Message, error) {
					time.Sleep(c.takes)
					return driver.Message{}, c.fails
				}
				ch := new(answering)
				s.handle(ch, &amqp.Delivery{ReplyTo: replyTo, CorrelationId: "1", Headers: amqp.Table{headerTimeout: "2000"}})
				if !slices.Equal(ch.said, c.want) {
					t.Errorf("the server says %q; want %q", ch.said, c.want)
				}
			})
		})
	}
}
