package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// ask sends a request whose answer is for this reader only: HEAD, ranges,
// no-store, If-Match.
func (t *Transport) ask(a *ask, e *entry, v verdict) (*http.Response, error) {
	f, out := t.newFill(a.req.Context(), a, e)
	defer f.release()
	if f.validates {
		// The reader's own conditions count here.
		for _, name := range conditionalFields {
			delete(out.Header, name)
			if lines, ok := a.req.Header[name]; ok {
				out.Header[name] = slices.Clone(lines)
			}
		}
	}
	t.store.shard(a.hash).counts.bypassed.Add(1)
	resp, err := t.next.RoundTrip(out)
	f.received = t.now()
	if err != nil || serverError(resp.StatusCode) {
		// If-Match is for the origin to look at.
		if sv, ok := t.staleOnError(e, &a.wishes, t.nowNano(), err != nil); ok && !a.direct {
			m := missStatus{fwd: v.fwd}
			if err == nil {
				m.status = resp.StatusCode
			}
			if got := t.standIn(a, e, sv, m); got != nil {
				if err == nil {
					_ = resp.Body.Close()
				}
				return got, nil
			}
		}
	}
	if err != nil {
		t.store.shard(a.hash).counts.errors.Add(1)
		return nil, err
	}
	resp.Request = a.req
	switch {
	case e == nil:
	case a.method == http.MethodHead:
		f.headFreshens(resp, a.wishes.noStore)
	case resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent:
		// Who has seen another version isn't given this one any more.
		if _, differs := f.compare(resp.Header); differs {
			f.forsake()
		} else if !a.wishes.noStore && f.isPart(resp) {
			f.update(resp)
		}
	}
	if v.reuse { // but not for this request
		v = verdict{fwd: "request"}
	}
	withStatus(resp, missStatus{fwd: v.fwd, status: resp.StatusCode, detail: v.detail}, f.received)
	return resp, nil
}

// compare tells whether a response names the version of cand, or another one.
func (f *fill) compare(h http.Header) (same, differs bool) {
	for _, name := range [...]string{"Etag", "Last-Modified"} {
		if lines := h[name]; len(lines) > 0 {
			same, differs = true, differs || lines[0] != f.cand.field(name)
		}
	}
	return same, differs
}

// headFreshens updates what is stored for GET by the answer to a HEAD
// (RFC 9111 section 4.3.5), or drops it if the answer is about another
// version. An answer that doesn't say which version it is about does neither:
// two versions may be of the same length.
func (f *fill) headFreshens(resp *http.Response, noStore bool) {
	old := f.cand
	confirmed, differs := f.compare(resp.Header)
	differs = differs || resp.StatusCode != old.shape.status
	if n, ok := delta(resp.Header.Get("Content-Length")); ok {
		differs = differs || n != int64(len(old.body()))
	}
	if f.t.ledger.sabotage.heads {
		confirmed, differs = true, false
	}
	switch {
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusGone:
		return // it is about the question, or confirms what the caller has
	case differs:
		f.forsake()
		return
	case !confirmed || noStore: // RFC 9111 section 5.2.1.5: no part of the response may be stored
		return
	}
	f.update(resp)
}

// isPart reports whether a response is a part of the version that is stored,
// which it then updates as a 304 does (RFC 9111 section 3.4).
func (f *fill) isPart(resp *http.Response) bool {
	tag := resp.Header.Get("Etag")
	// Several parts have a Content-Type of their own, and no Content-Range.
	return resp.StatusCode == http.StatusPartialContent && len(resp.Header["Content-Range"]) > 0 &&
		f.cand.shape.status == http.StatusOK && strings.HasPrefix(tag, `"`) && tag == f.cand.etag()
}

// update freshens cand by an answer that isn't stored itself.
func (f *fill) update(resp *http.Response) {
	e, _, keep := f.freshen(resp, false)
	if keep {
		f.commit(e)
		return
	}
	f.forsake()
	f.t.store.drop(e)
}

// bypass sends what this cache doesn't handle.
func (t *Transport) bypass(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	withStatus(resp, missStatus{fwd: "bypass", status: resp.StatusCode}, t.now())
	return resp, nil
}

// write sends a request with an unsafe method.
func (t *Transport) write(req *http.Request) (*http.Response, error) {
	sent := t.ledger.stamp()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		t.invalidateAfter(req, nil, sent)
		return nil, err
	}
	t.invalidateAfter(req, resp, sent)
	withStatus(resp, missStatus{fwd: "method", status: resp.StatusCode}, t.now())
	return resp, nil
}

// gatewayTimeout answers an only-if-cached request that nothing is stored for
// (RFC 9111 section 5.2.1.7).
func (t *Transport) gatewayTimeout(a *ask) *http.Response {
	return &http.Response{
		Status: "504 Gateway Timeout", StatusCode: http.StatusGatewayTimeout,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Cache-Status":   {cacheName + "; detail=only-if-cached"},
			"Content-Length": {"0"},
			"Date":           {httpDate(t.now())},
		},
		Body: http.NoBody, Request: a.req,
	}
}

// watchedBody is the body of an answer that isn't stored, as its reader sees
// it: his context ends it, although the question has one of its own.
type watchedBody struct {
	io.ReadCloser
	ctx  context.Context
	stop func() bool
	gone func()
	once sync.Once
}

func (t *Transport) watched(ctx context.Context, fl *flight, body io.ReadCloser) io.ReadCloser {
	b := &watchedBody{ReadCloser: body, ctx: ctx, gone: fl.leave}
	b.stop = context.AfterFunc(ctx, fl.cancel)
	return b
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.leave()
		if !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.leave()
	return err
}

func (b *watchedBody) leave() {
	b.once.Do(func() {
		b.stop()
		b.gone()
	})
}
