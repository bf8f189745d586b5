package bus

import (
	"errors"
	"fmt"
	"net"

	"github.com/goswale/swale/bus/driver"
)

var (
	// ErrClosed is wrapped by the errors of everything that is called after Shutdown
	// began. It is net.ErrClosed.
	ErrClosed = net.ErrClosed
	// ErrNoResponders is returned by Request, at once, when nobody serves the subject.
	ErrNoResponders = driver.ErrNoResponders
	// ErrTooLarge is returned for an event that is larger than the broker or
	// Options.MaxEventBytes allows.
	ErrTooLarge = driver.ErrTooLarge
	// ErrInvalidTopic is returned for a topic, group or subject that breaks the
	// grammar of [CheckName].
	ErrInvalidTopic = errors.New("invalid name")
)

// errShutDown is ErrClosed in words of who called Shutdown.
var errShutDown = fmt.Errorf("the bus was shut down: %w", ErrClosed)

// PublishError says which of the events of one Publish the bus doesn't have
// safe. Those that aren't listed are safe. A listed one may have reached the bus
// nonetheless, if what got lost is the confirmation.
type PublishError struct {
	// Topic is where the events were to go.
	Topic string
	// Total is how many events there were.
	Total int
	// Failed lists the failures in the order of the events.
	Failed []EventError
}

// EventError is the failure of one event.
type EventError struct {
	// Index is the event's place among the arguments of Publish.
	Index int
	// Err is why.
	Err error
}

// Error says how many failed and why the first did.
func (e *PublishError) Error() string {
	if len(e.Failed) == 0 {
		return fmt.Sprintf("bus: publish to %s failed", e.Topic)
	}
	return fmt.Sprintf("bus: publish to %s: %d of %d events are not safe, first is number %d: %v",
		e.Topic, len(e.Failed), e.Total, e.Failed[0].Index, e.Failed[0].Err)
}

// Unwrap returns the failures, so that errors.Is and errors.As see them.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// RemoteError is the error that a server's handler answered a Request with.
type RemoteError struct {
	// Subject is what was asked.
	Subject string
	// Message is the handler's error text.
	Message string
}

// Error returns the text with the subject.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("bus: %s answered: %s", e.Subject, e.Message)
}
