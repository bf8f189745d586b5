package httpbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// hostService is the default of TransportOptions.Service.
func hostService(req *http.Request) (string, error) {
	name := strings.ToLower(req.URL.Hostname())
	if name == "" {
		return "", errors.New("no host in the URL to name the service")
	}
	return name, nil
}

// begin takes the request's body into the first frame, when it is small and of
// known length, or prepares to send it in pieces.
func (c *call) begin() error {
	req, f := c.req, &c.first
	if req.Body == nil || req.Body == http.NoBody {
		f.flags, f.length = flagComplete, 0
		f.trailer = trailers(req.Trailer)
		if req.Body != nil {
			return req.Body.Close()
		}
		return nil
	}
	if n := req.ContentLength; n > 0 && n <= int64(c.t.opts.ChunkBytes) {
		return c.whole(n)
	}
	if req.ContentLength == 0 {
		f.length = -1 // as net/http: zero with a body means unknown
	}
	c.up = &upload{call: c, flow: &flow{limit: c.t.opts.WindowBytes, least: 1}}
	return nil
}

// whole reads a small body into the first frame.
func (c *call) whole(n int64) error {
	data := make([]byte, n+1)
	got, err := io.ReadFull(c.req.Body, data)
	err = errors.Join(unexpected(err), c.req.Body.Close())
	if err == nil && int64(got) != n {
		err = fmt.Errorf("request body has %d bytes or more, Content-Length is %d", got, n)
	}
	if err != nil {
		return err
	}
	c.first.body = data[:got]
	c.first.flags = flagComplete
	c.first.trailer = trailers(c.req.Trailer)
	return nil
}

// unexpected keeps the errors of io.ReadFull that aren't the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// done ends a call whose response is complete. What the server didn't read of the
// request isn't sent.
func (c *call) done() {
	if c.quiet != nil {
		c.quiet()
	}
	c.leave()
}

// upload sends a request's body in pieces: one goroutine reads it, another sends.
type upload struct {
	call *call
	flow *flow

	once  sync.Once
	ctx   context.Context //nolint:containedctx // ends when no more is wanted
	end   context.CancelFunc
	mu    sync.Mutex
	err   error
	began bool
}

// start begins once it is known where to send to.
func (u *upload) start() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.began = true
	u.ctx, u.end = context.WithCancel(u.call.ctx)
	go u.fill()
	go u.send()
}

// fill reads the body into the flow.
func (u *upload) fill() {
	buf := make([]byte, 32<<10)
	total, err := int64(0), error(nil)
	for err == nil {
		var n int
		n, err = u.call.req.Body.Read(buf)
		total += int64(n)
		if want := u.call.first.length; want >= 0 && total > want {
			err = fmt.Errorf("request body is longer than its Content-Length %d", want)
			break
		}
		if n > 0 {
			if _, werr := u.flow.write(u.ctx, buf[:n]); werr != nil {
				err = werr
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
		if want := u.call.first.length; want >= 0 && total != want {
			err = fmt.Errorf("request body has %d bytes, Content-Length is %d", total, want)
		}
	}
	u.close()
	u.flow.end(err)
}

// close closes the request's body, once.
func (u *upload) close() {
	u.once.Do(func() { _ = u.call.req.Body.Close() })
}

// send pushes what is in the flow.
func (u *upload) send() {
	defer u.end()
	c := u.call
	limit := c.t.opts.ChunkBytes
	for offset := uint64(0); ; {
		data, _, ended, err := u.flow.take(u.ctx, offset, limit, false)
		if err != nil {
			u.fail(err)
			return
		}
		if u.ctx.Err() != nil {
			return
		}
		f := frame{kind: kindPush, id: c.first.id, offset: offset, wait: c.first.wait, body: data}
		if ended {
			f.flags = flagComplete
			f.trailer = trailers(c.req.Trailer)
		}
		next, more, err := u.push(&f)
		if err != nil {
			u.fail(err)
			return
		}
		if !more || ended && next == offset+uint64(len(data)) {
			u.stop()
			return
		}
		offset = next
	}
}

// push sends one piece and returns where to go on.
func (u *upload) push(f *frame) (next uint64, more bool, err error) {
	data, err := u.call.ask(f)
	if err != nil {
		return 0, false, err
	}
	var taken frame
	if err := taken.decode(data, u.call.t.opts.MaxHeaderBytes); err != nil {
		return 0, false, err
	}
	switch {
	case taken.kind == kindReply && taken.flags&flagAborted != 0:
		return 0, false, nil // the response says why
	case taken.kind != kindTaken || taken.id != f.id:
		return 0, false, complain("kind %d about %q", taken.kind, taken.id)
	case taken.flags&flagStop != 0:
		return 0, false, nil
	case taken.offset != f.offset && taken.offset != f.offset+uint64(len(f.body)):
		return 0, false, complain("body to continue at %d", taken.offset)
	}
	return taken.offset, true, nil
}

// fail has the whole call fail: the server would wait for the rest.
func (u *upload) fail(err error) {
	if u.ctx.Err() != nil {
		return
	}
	u.mu.Lock()
	u.err = fmt.Errorf("sending the body: %w", err)
	u.mu.Unlock()
	u.call.leave()
}

func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// stop ends the upload; the reading goroutine ends when its Read returns.
func (u *upload) stop() {
	u.flow.stop(errHandlerDone)
	u.mu.Lock()
	if u.began {
		u.end()
	}
	u.mu.Unlock()
	u.close()
}
