package thinapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/goswale/swale/discovery/rules"
)

// shadows are the copies under way.
type shadows struct {
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}
	mu     sync.Mutex // orders Go before Wait
	work   sync.WaitGroup
}

func (s *shadows) open(most int) {
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.slots = make(chan struct{}, most)
}

// start runs f beside everything else, or reports that there is no room.
func (s *shadows) start(f func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return false
	}
	s.work.Go(func() {
		defer func() { <-s.slots }()
		f(s.ctx)
	})
	return true
}

func (s *shadows) close(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.work.Wait()
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	<-ended
	return err
}

func maxShadowBody(s *rules.Shadow) int64 {
	if s.MaxBody > 0 {
		return s.MaxBody
	}
	return 64 << 10
}

// shadow sends a copy of the request after it was answered. Whatever becomes
// of the copy, the answer is out already.
func (x *exchange) shadow(rule *rules.Rule) {
	count := x.state.counts[rule]
	var data []byte
	if x.body != nil {
		kept, whole := x.body.whole(x.length)
		if !whole {
			count.shadowDropped.Add(1)
			return
		}
		data = kept
	}
	target := rule.Shadow
	timeout := 5 * time.Second
	if target.Timeout > 0 {
		timeout = time.Duration(target.Timeout)
	}
	header := x.shadowHeader(rule.ID)
	started := x.h.shadows.start(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(rules.NewContext(ctx, &x.asked), timeout)
		defer cancel()
		if err := x.copyTo(ctx, target, header, data); err != nil {
			count.shadowFailed.Add(1)
			return
		}
		count.shadowed.Add(1)
	})
	if !started {
		count.shadowDropped.Add(1)
	}
}

// shadowField marks a copy with the rule that made it. Nobody else may send it.
const shadowField = "X-Shadow-Of"

// shadowHeader is the header of the copy: that of the request, without what is
// between two hops, and marked.
func (x *exchange) shadowHeader(rule string) http.Header {
	header := x.header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"} {
		delete(header, name)
	}
	for _, name := range x.h.forwarding {
		delete(header, name)
	}
	x.introduce(header)
	header[shadowField] = []string{rule}
	return header
}

var errShadowPanic = errors.New("thinapi: the transport panicked under a shadow")

func (x *exchange) copyTo(ctx context.Context, target *rules.Shadow, header http.Header, data []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errShadowPanic // not even that may reach the answer
		}
	}()
	u := &url.URL{RawQuery: x.asked.Query}
	setPath(u, x.asked.Path)
	req := &http.Request{Method: x.asked.Method, URL: u, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}
	if len(data) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	}
	x.aim(req, target.Service, target.URL)
	resp, err := x.h.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return err
}
