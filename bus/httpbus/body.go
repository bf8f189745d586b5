package httpbus

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// body is the response's body at the client. It asks for more when it is read.
type body struct {
	call     *call
	resp     *http.Response
	declared int64 // Content-Length, -1 unknown

	reading sync.Mutex // one Read at a time
	data    []byte     // fetched and not read
	at      uint64     // fetched up to here

	mu    sync.Mutex
	err   error // what Read returns when data is used up; io.EOF after the end
	timer *time.Timer
}

// Read implements io.Reader. io.EOF means that the server ended the body and that
// all of it was here; anything missing is another error.
func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	for len(p) > 0 && len(b.data) == 0 {
		if err := b.failure(); err != nil {
			return 0, err
		}
		if err := b.fetch(); err != nil {
			b.fail(err)
		}
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// fetch asks for the next piece.
func (b *body) fetch() error {
	c := b.call
	f, err := c.pull(b.at, false)
	if err != nil {
		if errors.Is(err, bus.ErrNoResponders) {
			err = fmt.Errorf("the server is gone: %w: %w", io.ErrUnexpectedEOF, err)
		}
		return fmt.Errorf("httpbus: body of %s %s: %w", c.first.method, c.service, err)
	}
	return b.take(&f)
}

// take notes a piece of the body.
func (b *body) take(f *frame) error {
	c := b.call
	b.data = f.body
	b.at += uint64(len(f.body))
	most := c.t.opts.MaxResponseBytes
	switch {
	case b.declared >= 0 && b.at > uint64(b.declared):
		b.data = nil
		return complain("body is longer than its Content-Length %d", b.declared)
	case most > 0 && b.at > uint64(most):
		b.data = b.data[:len(b.data)-int(b.at-uint64(most))]
		b.fail(&http.MaxBytesError{Limit: most})
	case f.flags&flagEnd != 0 && b.declared >= 0 && b.at != uint64(b.declared):
		return fmt.Errorf("httpbus: body of %s %s: %d bytes instead of %d: %w", c.first.method, c.service, b.at, b.declared, io.ErrUnexpectedEOF)
	case f.flags&flagEnd != 0:
		b.end(f.trailer)
	}
	return nil
}

// end notes that the body is complete.
func (b *body) end(trailer http.Header) {
	for name, values := range trailers(trailer) {
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		b.resp.Trailer[name] = values
	}
	b.finish(io.EOF)
	b.call.done()
}

// fail notes why the rest will never come.
func (b *body) fail(err error) {
	b.finish(err)
	b.call.leave()
}

func (b *body) finish(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	if b.timer != nil {
		b.timer.Stop()
	}
}

func (b *body) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close implements io.Closer. A response that isn't complete is cancelled.
func (b *body) Close() error {
	b.fail(http.ErrBodyReadAfterClose)
	// A Read under way ends now that the call has.
	b.reading.Lock()
	defer b.reading.Unlock()
	b.data = nil
	return nil
}

// keepAlive gives the server a sign of life now and then, for a reader that takes
// its time.
func (b *body) keepAlive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	every := b.call.t.opts.Silence / 2
	b.timer = time.AfterFunc(every, func() {
		_, err := b.call.ask(&frame{kind: kindPull, id: b.call.first.id})
		if errors.Is(err, bus.ErrNoResponders) {
			b.fail(fmt.Errorf("httpbus: the server is gone: %w: %w", io.ErrUnexpectedEOF, err))
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.err == nil {
			b.timer.Reset(every)
		}
	})
}
