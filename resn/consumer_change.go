package resn

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Change is the state of a resource, as the owner's answer told it after the
// newest notice that had come.
type Change struct {
	Topic string
	Href  string // in its normal form: lower-case host, no default port

	// Gone says that there is no such resource any more, or none yet: the
	// owner answered 404 or 410. Then there is no body.
	Gone bool

	Status int         // of the answer
	Header http.Header // of the answer; not to be changed
	Body   []byte
	ETag   string

	// Notice is the newest notice that this answers; the zero Event if a walk
	// found the resource. It says that something changed, not what is so now:
	// a resource that was deleted and made again is not Gone.
	Notice Event
	// Covers are the notices that this answers, by number. Those without a
	// number aren't among them.
	Covers []Covered

	// Walk is the number of the newest walk. What a handler remembers with it,
	// it can tell from what a walk has not met; see [ConsumerOptions.Unseen].
	Walk uint64
	// Unconfirmed says that the answer isn't what the newest notice says, and
	// still wasn't after [ConsumerOptions.AwaitVersion].
	Unconfirmed bool
	// Attempt counts from 1 how often this was tried.
	Attempt int
	// Prepared is what [ConsumerOptions.Prepare] returned before the fetch.
	Prepared any
}

// Covered is the number of a notice.
type Covered struct {
	Epoch string
	Seq   uint64
}

// Decode reads the body as JSON.
func (c *Change) Decode(v any) error {
	if err := json.Unmarshal(c.Body, v); err != nil {
		return fmt.Errorf("resn: body of %s: %w", c.Href, err)
	}
	return nil
}

// StatusError is the error of a fetch whose answer is neither a representation
// nor the word that there is none.
type StatusError struct {
	Href   string
	Status int
}

// Error names the status and the resource.
func (e *StatusError) Error() string {
	return fmt.Sprintf("resn: %s answered %d %s", e.Href, e.Status, http.StatusText(e.Status))
}
