package cache

import (
	"context"
	"errors"
	"io"
	"sync"
)

// spool takes a body in at the pace of the origin, up to a limit, while its
// reader reads at his own. So the body is complete, and can be stored,
// although the reader never looks at its end or stops half-way; and a slow
// reader doesn't keep others waiting.
//
// A body that turns out longer than the limit isn't taken in further: the
// reader gets what is there and then reads from the origin himself.
type spool struct {
	src   io.ReadCloser
	limit int64

	mu      sync.Mutex
	cond    sync.Cond
	buf     []byte
	err     error // io.EOF when complete
	handed  bool  // over the limit: src belongs to the reader
	left    bool  // the reader closed or never came
	release func()
}

// spoolChunk is the room that is made when the length isn't known.
const spoolChunk = 4 << 10

// newSpool prepares for a body; length is -1 if it isn't known. release is
// called once, when nobody reads src any more.
func newSpool(src io.ReadCloser, length, limit int64, release func()) *spool {
	s := &spool{src: src, limit: limit, release: release}
	s.cond.L = &s.mu
	if length > 0 {
		s.buf = make([]byte, 0, length+1) // one more to see the end at once
	}
	return s
}

// fill takes the body in. When it is complete, whole is called with it, before
// the reader sees the end: who reads on to the end finds it stored. It reports
// whether the body was too long.
func (s *spool) fill(length int64, whole func(body []byte)) (tooLong bool) {
	buf := s.buf
	for {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(max(spoolChunk, 2*int64(cap(buf))), s.limit+1))
			copy(grown, buf)
			buf = grown
		}
		n, err := s.src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) && length >= 0 && int64(len(buf)) != length {
			err = io.ErrUnexpectedEOF
		}
		over := err == nil && int64(len(buf)) > s.limit
		if errors.Is(err, io.EOF) && int64(len(buf)) <= s.limit {
			whole(buf)
		}

		s.mu.Lock()
		s.buf, s.err, s.handed = buf, err, over
		left := s.left
		s.cond.Broadcast()
		s.mu.Unlock()
		switch {
		case over && !left:
			return true // the reader closes
		case over || err != nil:
			_ = s.src.Close()
			s.release()
			return over
		}
	}
}

// abandon tells that the reader is gone.
func (s *spool) abandon() {
	s.mu.Lock()
	mine := s.handed && !s.left
	s.left = true
	s.cond.Broadcast()
	s.mu.Unlock()
	if mine {
		_ = s.src.Close()
		s.release()
	}
}

// spoolReader is the reader of a spool: the body of a response on a miss.
type spoolReader struct {
	spool *spool
	ctx   context.Context
	stop  func() bool // ends the watch on ctx
	once  sync.Once
	gone  func() // told when the reader leaves
	off   int
}

func (r *spoolReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s := r.spool
	s.mu.Lock()
	for r.off == len(s.buf) && s.err == nil && !s.handed && !s.left && r.ctx.Err() == nil {
		s.cond.Wait()
	}
	switch {
	case s.left:
		s.mu.Unlock()
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		return 0, errClosedBody
	case r.ctx.Err() != nil:
		s.mu.Unlock()
		return 0, r.ctx.Err()
	case r.off < len(s.buf):
		n := copy(p, s.buf[r.off:])
		r.off += n
		s.mu.Unlock()
		return n, nil
	case s.err != nil:
		err := s.err
		s.mu.Unlock()
		return 0, err
	}
	s.mu.Unlock()
	n, err := s.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.ctx.Err() != nil {
		err = r.ctx.Err()
	}
	return n, err
}

// watch lets the reader's context end his reading.
func (r *spoolReader) watch() {
	r.stop = func() bool { return true }
	if r.ctx.Done() != nil {
		r.stop = context.AfterFunc(r.ctx, r.depart)
	}
}

// Close leaves. The spool goes on without its reader as long as it is worth
// it, see flight.leave.
func (r *spoolReader) Close() error {
	r.stop()
	r.depart()
	return nil
}

func (r *spoolReader) depart() {
	r.once.Do(func() {
		r.spool.abandon()
		r.gone()
	})
}
