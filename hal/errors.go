package hal

import (
	"errors"
	"fmt"
)

var (
	// ErrNoLink is returned when a document has no link for a relation.
	ErrNoLink = errors.New("hal: no such link")
	// ErrAmbiguous is returned by Follow when a relation has several links and
	// Named doesn't single one out.
	ErrAmbiguous = errors.New("hal: more than one link")
	// ErrHost is returned when a link or a redirect leads to a host that
	// ClientOptions.AllowedHosts doesn't name.
	ErrHost = errors.New("hal: host not allowed")
	// ErrLimit is returned when a response is larger, deeper or redirected more
	// often than the client's options allow.
	ErrLimit = errors.New("hal: limit exceeded")
	// ErrNoETag is returned by writes of resources that were read without a
	// strong ETag, so that they can't be made conditional.
	ErrNoETag = errors.New("hal: no strong ETag to make the write conditional on")
	// ErrPartial is returned when a partial resource would stand for the whole.
	ErrPartial = errors.New("hal: the embedded resource is partial")
	// ErrTemplate is returned when a URI template can't be parsed or expanded,
	// or has no variable of a given name.
	ErrTemplate = errors.New("hal: URI template")
)

// LinkError says which link could not be followed. Its cause is one of
// ErrNoLink, ErrAmbiguous, ErrHost, ErrTemplate and ErrPartial.
type LinkError struct {
	// URL is the document's.
	URL string
	// Rel is the relation.
	Rel string
	// Has are the relations that the document has links for, if it has none for
	// Rel.
	Has []string
	// Err is the cause.
	Err error
}

// maxNamed bounds the relations that an error names.
const maxNamed = 12

// Error names the cause, the relation and the document.
func (e *LinkError) Error() string {
	text := fmt.Sprintf("%v: %q in %s", e.Err, e.Rel, e.URL)
	switch {
	case len(e.Has) > maxNamed:
		return text + fmt.Sprintf(", which has %q and %d more", e.Has[:maxNamed], len(e.Has)-maxNamed)
	case len(e.Has) > 0:
		return text + fmt.Sprintf(", which has %q", e.Has)
	}
	return text
}

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }
