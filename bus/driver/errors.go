package driver

import "errors"

// ErrNoResponders is returned by Requester.Request at once when nobody serves
// the subject.
var ErrNoResponders = errors.New("no responders")

// ErrTooLarge is returned when a message is larger than the broker takes.
var ErrTooLarge = errors.New("message too large")

// TemporaryError wraps an error after which the same call may succeed.
type TemporaryError struct{ Err error }

// Error returns the wrapped error's text.
func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *TemporaryError) Unwrap() error { return e.Err }

// Temporary marks err as one after which the same call may succeed.
func Temporary(err error) error {
	if err == nil {
		return nil
	}
	return &TemporaryError{Err: err}
}

// IsTemporary reports whether err was marked by Temporary.
func IsTemporary(err error) bool {
	var t *TemporaryError
	return errors.As(err, &t)
}
