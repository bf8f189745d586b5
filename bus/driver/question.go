package driver

import "context"

// Questioner is implemented by Requesters whose requests can be answered from any
// goroutine, before or after the handler has returned.
type Questioner interface {
	// Questions is Serve with another handler: h is called on a goroutine per
	// question, no more than parallel at once, and may answer its question itself,
	// leave that to others, or go on after the answer. Stop waits for the handlers
	// that run. Questions that aren't answered then may still be until Detach.
	Questions(ctx context.Context, subject, group string, parallel int, h func(Question)) (Subscription, error)
}

// Question is one request. Its methods may be called from any goroutine.
type Question interface {
	// Message is what is asked. It belongs to the core.
	Message() Message
	// OnCancel has f called when the caller cancels, as far as the driver is told,
	// and when Detach begins, both unless the question is answered; at once if that
	// was so before. It isn't called when the deadline has passed. A further f
	// replaces the last. f doesn't block.
	OnCancel(f func())
	// Answer answers with m, or with an error whose text the caller gets as an
	// *AnswerError. Only the first call counts.
	Answer(m Message, err error)
}
