package rabbitbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// fakeConn is a connection that only notes that it was aborted.
type fakeConn struct {
	connection
	aborted bool
}

func (c *fakeConn) Abort() { c.aborted = true }

// fakeChannel takes messages, until it fails.
type fakeChannel struct {
	channel
	keys []string
	fail int // which message fails, counted from 1
}

func (c *fakeChannel) Publish(_, key string, _, _ bool, _ amqp.Publishing) error {
	c.keys = append(c.keys, key)
	if len(c.keys) == c.fail {
		return errors.New("broken pipe")
	}
	return nil
}

// answers notes what became of each message.
type answers []string

func (a *answers) done(i int, err error) {
	*a = append(*a, fmt.Sprint(i, " ", err == nil, " ", driver.IsTemporary(err)))
}

func TestOnlyWhatTheBrokerConfirmedIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got answers
		conn := new(fakeConn)
		o := &outlet{ch: new(fakeChannel), conn: conn}
		confirms, closed := make(chan amqp.Confirmation), make(chan *amqp.Error, 1)
		ended := make(chan struct{})
		go func() {
			o.confirm(confirms, closed, time.Second)
			close(ended)
		}()
		if err := o.publish(&job{ctx: t.Context(), topic: "t", msgs: make([]driver.Message, 4), done: got.done}); err != nil {
			t.Fatal(err)
		}
		confirms <- amqp.Confirmation{DeliveryTag: 1, Ack: true}
		confirms <- amqp.Confirmation{DeliveryTag: 2} // refused
		confirms <- amqp.Confirmation{DeliveryTag: 3, Ack: true}
		time.Sleep(2 * time.Second) // the fourth is withheld
		synctest.Wait()
		if !conn.aborted {
			t.Error("a broker that withholds a confirmation must be left")
		}
		close(closed)
		close(confirms)
		<-ended
		want := answers{"0 true false", "1 false true", "2 true false", "3 false true"}
		if !slices.Equal(got, want) {
			t.Errorf("index, safe, temporary: got %q, want %q", got, want)
		}
	})
}

func TestEveryMessageIsAnsweredOnceWhenTheChannelBreaks(t *testing.T) {
	var got answers
	o := &outlet{ch: &fakeChannel{fail: 3}, conn: new(fakeConn)}
	err := o.publish(&job{ctx: t.Context(), topic: "t", msgs: make([]driver.Message, 5), done: got.done})
	if err == nil || !o.gone() {
		t.Errorf("a channel that broke must not be used again: %v", err)
	}
	if err := o.publish(&job{ctx: t.Context(), topic: "t", msgs: make([]driver.Message, 1), done: func(int, error) { got.done(9, errLost) }}); err == nil {
		t.Error("publishing on a broken channel must be an error")
	}
	slices.Sort(got)
	want := answers{"0 false true", "1 false true", "2 false true", "3 false true", "4 false true", "9 false false"}
	if !slices.Equal(got, want) {
		t.Errorf("index, safe, temporary: got %q, want %q", got, want)
	}
}

func TestWhatNobodyWaitsForIsNotSent(t *testing.T) {
	var got answers
	ch := new(fakeChannel)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := &outlet{ch: ch, conn: new(fakeConn)}
	if err := o.publish(&job{ctx: ctx, topic: "t", msgs: make([]driver.Message, 2), done: got.done}); err != nil {
		t.Fatal(err)
	}
	if len(ch.keys) != 0 || len(got) != 2 {
		t.Errorf("messages whose publisher has gone must be answered and not sent: %d sent, %d answered", len(ch.keys), len(got))
	}
}
