package driver

import (
	"context"
	"time"
)

// Requester is implemented by drivers that can request and reply.
type Requester interface {
	// Request sends m to one of the servers of the subject and returns the answer,
	// waiting no longer than ctx and the deadline, which is ctx's where that has
	// one; past it the error is context.DeadlineExceeded. The time that is left
	// travels with the message. When ctx is cancelled the server is told so, as far
	// as the broker allows. It returns ErrNoResponders at once when nobody serves,
	// and an *AnswerError when the server's handler returned an error.
	Request(ctx context.Context, subject string, m *Message, deadline time.Time) (Message, error)

	// Serve answers the subject's requests as one of the named group; each request
	// goes to one server of each group, and the first answer counts. h is called on
	// a goroutine per request, no more than parallel at once; its context ends at
	// the request's deadline, when the caller cancels, and when Detach begins. When Serve
	// returns, requests from anybody reach it. An error of h after the deadline isn't
	// sent, since the caller's own clock tells it. Stop waits for the handlers that run.
	Serve(ctx context.Context, subject, group string, parallel int, h func(ctx context.Context, m Message) (Message, error)) (Subscription, error)
}

// AnswerError is what a server's handler failed with.
type AnswerError struct{ Text string }

// Error returns the handler's text.
func (e *AnswerError) Error() string { return e.Text }
