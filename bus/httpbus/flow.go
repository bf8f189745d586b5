package httpbus

import (
	"context"
	"io"
	"slices"
	"sync"
)

// flow is a bounded stretch of a body between one writer and one reader. It holds
// what the reader hasn't confirmed, so that an answer that got lost can be given
// again. Its methods may be called from any goroutine.
type flow struct {
	limit int    // bytes held before the writer waits
	least int    // unflushed bytes that the reader gets without a flush
	first func() // called when begun is set, by whoever does so; may be nil

	mu      sync.Mutex
	data    []byte // data[0] is at offset base
	base    uint64
	flushed uint64 // up to here the reader gets everything
	begun   bool   // flushed once, or over least, or ended: a head may go
	ended   bool   // nothing follows; complete unless err
	err     error  // why it ended early
	stopped error  // why the reader wants no more
	change  chan struct{}
}

// begin has the head go. It returns what to call once mu is no longer held.
func (f *flow) begin() func() {
	if f.begun || f.first == nil {
		f.begun = true
		return func() {}
	}
	f.begun = true
	return f.first
}

// changed wakes whoever waits; mu is held.
func (f *flow) changed() {
	if f.change != nil {
		close(f.change)
		f.change = nil
	}
}

// await returns once ok says so, with mu held, or with ctx's error and mu not
// held. mu is held at the call.
func (f *flow) await(ctx context.Context, ok func() bool) error {
	for !ok() {
		if f.change == nil {
			f.change = make(chan struct{})
		}
		change := f.change
		f.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		f.mu.Lock()
	}
	return nil
}

// Write appends p, waiting for room as often as needed, until ctx ends or the
// reader wants no more.
func (f *flow) write(ctx context.Context, p []byte) (n int, err error) {
	for len(p) > 0 {
		f.mu.Lock()
		err := f.await(ctx, func() bool { return f.stopped != nil || f.ended || len(f.data) < f.limit })
		if err != nil {
			return n, err
		}
		if f.stopped != nil || f.ended {
			err := f.stopped
			if err == nil {
				err = io.ErrClosedPipe
			}
			f.mu.Unlock()
			return n, err
		}
		part := p[:min(len(p), f.limit-len(f.data))]
		f.data = append(f.data, part...)
		first := func() {}
		if len(f.data) >= f.least {
			first = f.begin()
			f.changed()
		}
		f.mu.Unlock()
		first()
		n += len(part)
		p = p[len(part):]
	}
	return n, nil
}

// put appends all of p at the offset where the writer stands, going over the
// limit by that once, and returns where the writer stands after it. When there is
// no room until ctx ends, or p is from before, the place is unchanged.
func (f *flow) put(ctx context.Context, offset uint64, p []byte) (at uint64, stopped bool, err error) {
	f.mu.Lock()
	if f.await(ctx, func() bool { return f.stopped != nil || f.ended || len(f.data) < f.limit }) != nil {
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	at = f.base + uint64(len(f.data))
	switch {
	case f.stopped != nil || f.ended && f.err != nil:
		return at, true, nil
	case offset+uint64(len(p)) <= at:
		return at, false, nil // sent again after a lost answer
	case offset != at || f.ended:
		return at, false, complain("body continues at %d, not at %d", offset, at)
	case len(f.data) >= f.limit:
		return at, false, nil
	}
	f.data = append(f.data, p...)
	f.begun = true
	f.changed()
	return at + uint64(len(p)), false, nil
}

// flush gives everything written so far to the reader.
func (f *flow) flush() {
	f.mu.Lock()
	f.flushed = f.base + uint64(len(f.data))
	first := f.begin()
	f.changed()
	f.mu.Unlock()
	first()
}

// end says that nothing follows; err, if any, that something is missing. Only the
// first call counts.
func (f *flow) end(err error) {
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return
	}
	f.ended, f.err = true, err
	first := f.begin()
	f.changed()
	f.mu.Unlock()
	first()
}

// stop says that the reader wants no more, and why.
func (f *flow) stop(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped == nil {
		f.stopped = why
	}
	f.data = nil
	f.changed()
}

// started reports whether anything was shown to the reader or may be.
func (f *flow) started() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun
}

// take confirms everything before offset and returns up to limit bytes from there,
// waiting until there is something to say or ctx ends. begun says that the head
// may go, ended that what is returned is the last of the body.
func (f *flow) take(ctx context.Context, offset uint64, limit int, head bool) (p []byte, begun, ended bool, err error) {
	f.mu.Lock()
	if offset < f.base || offset > f.base+uint64(len(f.data)) {
		defer f.mu.Unlock()
		return nil, f.begun, false, complain("body asked for at %d, here are %d to %d", offset, f.base, f.base+uint64(len(f.data)))
	}
	if n := offset - f.base; n > 0 {
		f.data = append(f.data[:0], f.data[n:]...)
		f.base = offset
		f.changed()
	}
	if f.await(ctx, func() bool { return head && f.begun || f.avail() > 0 && limit > 0 || f.ended }) != nil {
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	if f.base != offset {
		return nil, f.begun, false, complain("body asked for by two at once")
	}
	p, ended, err = f.piece(limit)
	return slices.Clone(p), f.begun, ended, err
}

// start returns what there is of the body from its beginning on, without waiting
// and without copying what will not change any more.
func (f *flow) start(limit int) (p []byte, begun, ended bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ended, err = f.piece(limit)
	if !f.ended {
		p = slices.Clone(p)
	}
	return p, f.begun, ended, err
}

// avail is how much the reader may have; mu is held.
func (f *flow) avail() int {
	if f.ended || len(f.data) >= f.least {
		return len(f.data)
	}
	return int(max(f.flushed, f.base) - f.base)
}

// piece is the part of data that the reader may have next; mu is held.
func (f *flow) piece(limit int) (p []byte, ended bool, err error) {
	if f.ended && f.err != nil && len(f.data) == 0 {
		return nil, false, f.err
	}
	n := min(f.avail(), limit)
	return f.data[:n:n], f.ended && f.err == nil && n == len(f.data), nil
}

// read is io.Reader for a reader that confirms at once.
func (f *flow) read(ctx context.Context, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.mu.Lock()
	if err := f.await(ctx, func() bool { return len(f.data) > 0 || f.ended || f.stopped != nil }); err != nil {
		return 0, err
	}
	defer f.mu.Unlock()
	if f.stopped != nil {
		return 0, f.stopped
	}
	if len(f.data) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		return 0, io.EOF
	}
	n := copy(p, f.data)
	f.data = append(f.data[:0], f.data[n:]...)
	f.base += uint64(n)
	f.changed()
	return n, nil
}
