package rabbitbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
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
	fail int   // which message fails, counted from 1
	err  error // with what; default a broken pipe
}

func (c *fakeChannel) Publish(_, key string, _, _ bool, _ amqp.Publishing) error {
	c.keys = append(c.keys, key)
	if len(c.keys) == c.fail {
		return cmp.Or(c.err, errors.New("broken pipe"))
	}
	return nil
}

// unconfirmed is a channel on a socket that was closed under it.
type unconfirmed struct{ channel }

func (unconfirmed) Confirm(bool) error {
	return &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}
}

type onClosedSocket struct{ connection }

func (onClosedSocket) Channel() (channel, error) { return unconfirmed{}, nil }

// TestAClosedSocketIsNoClosedBus is about a connection that was left because it
// confirmed nothing, at the moment at which the next event wants a channel on it.
func TestAClosedSocketIsNoClosedBus(t *testing.T) {
	var got answers
	l := &link{conn: onClosedSocket{}, changed: make(chan struct{}), ctx: t.Context()}
	p := &publisher{c: &conn{out: l}, ctx: t.Context()}
	if o := p.outlet(&job{ctx: t.Context(), msgs: make([]driver.Message, 1), done: got.done}); o != nil {
		t.Error("there is a channel on a socket that is closed")
	}
	if want := (answers{"0 false true"}); !slices.Equal(got, want) {
		t.Errorf("index, safe, temporary: got %q, want %q", got, want)
	}
	if err := temporary(net.ErrClosed); driver.IsTemporary(err) {
		t.Error("a driver that was closed stays so")
	}
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
			o.confirm(confirms, nil, closed, time.Second)
			close(ended)
		}()
		if err := o.publish(&job{ctx: t.Context(), write: publishing, msgs: make([]driver.Message, 4), done: got.done}); err != nil {
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

// TestWhatHasNoQueueIsNotSafe is about a stream whose node is just starting: the
// broker confirms what it has no queue for, and says so before.
func TestWhatHasNoQueueIsNotSafe(t *testing.T) {
	var got answers
	o := &outlet{ch: new(fakeChannel), conn: new(fakeConn)}
	confirms, returns, closed := make(chan amqp.Confirmation), make(chan amqp.Return), make(chan *amqp.Error, 1)
	ended := make(chan struct{})
	go func() {
		o.confirm(confirms, returns, closed, time.Minute)
		close(ended)
	}()
	for range 2 { // the numbers go on from one job to the next
		if err := o.publish(&job{ctx: t.Context(), write: publishing, mandatory: true, msgs: make([]driver.Message, 2), done: got.done}); err != nil {
			t.Fatal(err)
		}
	}
	confirms <- amqp.Confirmation{DeliveryTag: 1, Ack: true}
	returns <- amqp.Return{CorrelationId: "2"}
	returns <- amqp.Return{CorrelationId: "4"}
	for n := range uint64(3) {
		confirms <- amqp.Confirmation{DeliveryTag: n + 2, Ack: true}
	}
	close(returns)
	close(closed)
	close(confirms)
	<-ended
	want := answers{"0 true false", "1 false true", "0 true false", "1 false true"}
	if !slices.Equal(got, want) {
		t.Errorf("index, safe, temporary: got %q, want %q", got, want)
	}
}

func TestEveryMessageIsAnsweredOnceWhenTheChannelBreaks(t *testing.T) {
	var got answers
	o := &outlet{ch: &fakeChannel{fail: 3}, conn: new(fakeConn)}
	err := o.publish(&job{ctx: t.Context(), write: publishing, msgs: make([]driver.Message, 5), done: got.done})
	if err == nil || !o.gone() {
		t.Errorf("a channel that broke must not be used again: %v", err)
	}
	if err := o.publish(&job{ctx: t.Context(), write: publishing, msgs: make([]driver.Message, 1), done: func(int, error) { got.done(9, errLost) }}); err == nil {
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
	if err := o.publish(&job{ctx: ctx, write: publishing, msgs: make([]driver.Message, 2), done: got.done}); err != nil {
		t.Fatal(err)
	}
	if len(ch.keys) != 0 || len(got) != 2 {
		t.Errorf("messages whose publisher has gone must be answered and not sent: %d sent, %d answered", len(ch.keys), len(got))
	}
}

func TestRefusalIsOfTheLargeMessageAlone(t *testing.T) {
	for _, words := range []string{
		"PRECONDITION_FAILED - message size 30 is larger than max size 20",            // RabbitMQ 3
		"PRECONDITION_FAILED - message size 30 is larger than configured max size 20", // RabbitMQ 4
	} {
		got, conn := map[int]error{}, new(fakeConn)
		o := &outlet{ch: &fakeChannel{fail: 4, err: amqp.ErrClosed}, conn: conn}
		msgs := make([]driver.Message, 5)
		msgs[1].Body = make([]byte, 30)
		// The channel closes while the fourth is written.
		if err := o.publish(&job{ctx: t.Context(), write: publishing, msgs: msgs, done: func(i int, err error) { got[i] = err }}); err == nil {
			t.Error("publishing on a closed channel must be an error")
		}
		confirms, closed := make(chan amqp.Confirmation, 1), make(chan *amqp.Error, 1)
		confirms <- amqp.Confirmation{DeliveryTag: 1, Ack: true}
		closed <- &amqp.Error{Code: amqp.PreconditionFailed, Reason: words}
		close(confirms)
		o.confirm(confirms, nil, closed, time.Second)
		for i := range msgs {
			err, answered := got[i]
			switch {
			case !answered:
				t.Errorf("message %d was not answered", i)
			case (err == nil) != (i == 0), errors.Is(err, driver.ErrTooLarge) != (i == 1), i > 1 && !driver.IsTemporary(err), i == 1 && driver.IsTemporary(err):
				t.Errorf("%s: the first is safe, the second too large, the others can be sent again: number %d got %v", words, i, err)
			}
		}
		if conn.aborted {
			t.Error("a channel that the broker closes must not cost the connection, on which others work")
		}
	}
}
