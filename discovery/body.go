package discovery

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// outgoing is a request's body that may have to be sent more than once. A nil
// one is no body. Each attempt gets an upload of its own, because a transport may
// read and close a body after its RoundTrip has returned.
type outgoing struct {
	req     *http.Request
	current *upload
}

func newOutgoing(req *http.Request) *outgoing {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &outgoing{req: req, current: &upload{body: req.Body}}
}

// replayable reports whether the body can be sent after it was read.
func (b *outgoing) replayable() bool { return b == nil || b.req.GetBody != nil }

// rewind prepares the body for another attempt and reports whether it could.
func (b *outgoing) rewind() bool {
	if b == nil {
		return true
	}
	if body := b.current.takeBack(); body != nil {
		b.current = &upload{body: body}
		return true
	}
	if b.req.GetBody == nil {
		return false
	}
	fresh, err := b.req.GetBody()
	if err != nil {
		return false
	}
	b.current.finish(true)
	b.current = &upload{body: fresh}
	return true
}

// finish lets the body be closed for good.
func (b *outgoing) finish(failed bool) {
	if b != nil {
		b.current.finish(failed)
	}
}

// upload is what one attempt reads.
type upload struct {
	mu       sync.Mutex
	body     io.ReadCloser // nil: taken back
	touched  bool          // something was read
	closed   bool          // by the transport
	finished bool          // there will be no other attempt with this body
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	body := u.body
	u.touched = true
	u.mu.Unlock()
	if body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return body.Read(p)
}

// Close notes that the transport has finished with the body, which is closed
// once no other attempt needs it.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if !u.finished || u.body == nil {
		return nil
	}
	return u.body.Close()
}

// takeBack returns the body if nothing was read of it.
func (u *upload) takeBack() io.ReadCloser {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.touched {
		return nil
	}
	body := u.body
	u.body = nil
	return body
}

// finish closes the body, now or, when the transport still sends it, later.
func (u *upload) finish(failed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.finished || u.body == nil {
		return
	}
	u.finished = true
	if u.closed || failed {
		_ = u.body.Close()
	}
}

// incoming is a response's body; the instance counts as busy until it has ended.
type incoming struct {
	io.ReadCloser
	node  *node
	ended atomic.Bool
}

// Read implements [io.Reader].
func (b *incoming) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

// Close implements [io.Closer].
func (b *incoming) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

func (b *incoming) end() {
	if !b.ended.Swap(true) {
		b.node.release()
	}
}

// heldBody is a body that has arrived already.
type heldBody struct {
	bytes.Reader
	rest io.ReadCloser
}

// Close implements [io.Closer].
func (b *heldBody) Close() error { return b.rest.Close() }

// releasing calls a function when the body has ended.
type releasing struct {
	io.ReadCloser
	release func()
}

// Read implements [io.Reader].
func (b *releasing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

// Close implements [io.Closer].
func (b *releasing) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
