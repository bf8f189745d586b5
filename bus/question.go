package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/goswale/swale/bus/driver"
)

// Ask is Request for protocols that have an envelope of their own, as httpbus has:
// data and the answer travel as they are, with no event around them. It is
// answered by those who serve the subject with Bus.Questions.
func (b *Bus) Ask(ctx context.Context, subject string, data []byte) ([]byte, error) {
	answer, err := b.ask(ctx, subject, new(driver.Message), func(m *driver.Message) error {
		m.Body = data
		return nil
	})
	if err != nil {
		return nil, requestError(subject, err)
	}
	return answer.Body, nil
}

// Question is what somebody asks by Ask. Its methods may be called from any
// goroutine.
type Question struct {
	// Data is what is asked.
	Data  []byte
	inner driver.Question
}

// Answer answers the question. Only the first of all calls of Answer and Fail
// counts. data must not be changed after it.
func (q *Question) Answer(data []byte) { q.inner.Answer(driver.Message{Body: data}, nil) }

// Fail answers with an error, whose text becomes the caller's [*RemoteError].
func (q *Question) Fail(err error) { q.inner.Answer(driver.Message{}, err) }

// OnCancel has f called when the caller gives up, where the driver can tell,
// or the subscription ends, before the question is answered; at once if it was
// so before. A further f replaces the last. f must not block.
func (q *Question) OnCancel(f func()) { q.inner.OnCancel(f) }

// Questions answers what is asked on the subject by Ask as one of the named group;
// each question goes to one server of the group. h is called on a goroutine per
// question, no more than opts.Parallel at once where the driver can answer
// before the handler returns. A question may be answered by h, by another
// goroutine, or after h has returned. A panic of h is an answer with an error.
// ctx bounds only the subscribing.
func (b *Bus) Questions(ctx context.Context, subject, group string, h func(*Question), opts *ServeOptions) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("bus: serve %s: the handler is nil", subject)
	}
	var running sync.WaitGroup
	handle := func(inner driver.Question) {
		q := &Question{Data: inner.Message().Body, inner: inner}
		defer func() {
			if v := recover(); v != nil {
				b.log.Error("question handler panicked", "subject", subject, "panic", v, "stack", string(debug.Stack()))
				q.Fail(errInternal)
			}
		}()
		h(q)
	}
	return b.serve(subject, group, opts, func(r driver.Requester, parallel int) (driver.Subscription, error) {
		if a, ok := r.(driver.Questioner); ok {
			return a.Questions(ctx, subject, group, parallel, handle)
		}
		return r.Serve(ctx, subject, group, parallel, func(ctx context.Context, m driver.Message) (driver.Message, error) {
			q := &heldQuestion{ctx: ctx, m: m, answer: make(chan heldAnswer, 1)}
			running.Go(func() { handle(q) })
			select {
			case a := <-q.answer:
				return a.m, a.err
			case <-ctx.Done():
				return driver.Message{}, context.Cause(ctx)
			}
		})
	}, func(ctx context.Context) error {
		done := make(chan struct{})
		go func() {
			running.Wait()
			close(done)
		}()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

var errInternal = errors.New("internal error")

// heldQuestion is a driver.Question of drivers whose handlers answer when they
// return: it holds their goroutine while another one handles the question.
type heldQuestion struct {
	ctx    context.Context //nolint:containedctx // the request's
	m      driver.Message
	answer chan heldAnswer

	mu   sync.Mutex
	stop func() bool // has the end of ctx not be told
}

type heldAnswer struct {
	m   driver.Message
	err error
}

func (q *heldQuestion) Message() driver.Message { return q.m }

func (q *heldQuestion) OnCancel(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stop != nil {
		q.stop()
	}
	q.stop = context.AfterFunc(q.ctx, f)
}

func (q *heldQuestion) Answer(m driver.Message, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stop != nil {
		q.stop()
	}
	select {
	case q.answer <- heldAnswer{m, err}:
	default:
	}
}

// requestError is what Request and Ask return.
func requestError(subject string, err error) error {
	var a *driver.AnswerError
	if errors.As(err, &a) {
		return &RemoteError{Subject: subject, Message: a.Text}
	}
	return fmt.Errorf("bus: request %s: %w", subject, err)
}
