package discovery

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

// sending is one request on its way through one or more instances.
type sending struct {
	transport *Transport
	req       *http.Request
	service   *service
	split     *Split
	key       string
	body      *outgoing
	anyway    bool // don't ask breakers
	repeat    bool // it may be sent again although an instance may have had it
	number    int  // attempts so far
	counted   int  // those that may have reached an instance
	tried     []*node
	room      [4]*node
}

// send tries instances until one answers.
func (t *Transport) send(req *http.Request, s *service) (*http.Response, error) {
	o := &sending{transport: t, req: req, service: s, body: newOutgoing(req)}
	o.tried = o.room[:0]
	o.repeat = t.opts.Repeatable(req) && o.body.replayable()
	if t.opts.Splitter != nil {
		o.split, o.key = t.opts.Splitter.Split(req, s.name)
	}
	s.budget.requests.Add(1)
	resp, err := o.run()
	o.body.finish(err != nil)
	return resp, err
}

func (o *sending) run() (*http.Response, error) {
	var last *result
	for {
		p, err := o.service.pick(o.split, o.key, o.tried)
		switch {
		case err != nil && last != nil:
			return last.answer()
		case err != nil && len(o.tried) > 0 && !o.anyway:
			// Every breaker is waiting for its trial.
			o.anyway, o.tried = true, o.tried[:0]
			continue
		case err != nil:
			return nil, err
		}
		p.desperate = p.desperate || o.anyway
		res := o.attempt(p)
		if res == nil { // another request is the breaker's trial
			o.tried = append(o.tried, p.node)
			continue
		}
		if last != nil {
			last.drop()
		}
		last = res
		if !o.again(p, res) {
			return res.answer()
		}
		o.tried = append(o.tried, p.node)
	}
}

// result is what an attempt came to: a response or an error.
type result struct {
	resp    *http.Response
	err     error
	notSent bool
	bad     bool // the instance is to blame
}

func (r *result) answer() (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.resp, nil
}

// drop gives back the connection of a response that isn't used.
func (r *result) drop() {
	if r.resp != nil {
		_ = r.resp.Body.Close()
	}
}

// again decides whether to try another instance.
func (o *sending) again(p Picked, r *result) bool {
	switch {
	case !r.bad || o.req.Context().Err() != nil:
		return false
	case r.notSent:
		// Nothing was sent, so it costs nobody anything; each instance is
		// tried once at most.
		return o.body.rewind()
	}
	o.counted++
	if !o.repeat || o.counted >= o.transport.opts.Retry.Attempts {
		return false
	}
	return o.another(p) && o.service.budget.withdraw(&o.transport.opts.Retry) && o.body.rewind()
}

// another reports whether there is an instance left to try.
func (o *sending) another(p Picked) bool {
	f := o.service.fleet.Load()
	return f.another(o.split, append(slices.Clip(o.tried), p.node)) != nil
}

// attempt sends the request to the instance. It returns nil if the instance's
// breaker doesn't let it.
func (o *sending) attempt(p Picked) *result {
	settle := func(error) {}
	if !p.desperate {
		done, err := p.node.breaker.Allow()
		if err != nil {
			p.node.release()
			return nil
		}
		settle = done
	}
	o.number++
	began := time.Now()
	resp, err := o.roundTrip(p) //nolint:bodyclose // the caller of RoundTrip closes it, or drop does
	latency := time.Since(began)
	r := &result{resp: resp, err: err}
	outcome := Outcome{Latency: latency}
	r.bad, r.notSent = err != nil, err != nil && o.transport.notSent(err)
	switch {
	case err == nil && unavailable(resp.StatusCode):
		r.bad, outcome.Failed = true, true
		p.node.refused.Store(false)
		settle(errUnavailable)
	case err == nil:
		outcome.Failed = resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
		p.node.refused.Store(false)
		settle(nil)
	case errors.Is(o.req.Context().Err(), context.Canceled):
		outcome.Latency = 0
		settle(errAbandoned) // the caller's doing
	default:
		outcome.Failed = true
		p.node.refused.Store(r.notSent)
		settle(err)
	}
	o.tell(p, r, latency)
	if err != nil {
		p.Done(outcome)
		r.err = &AttemptError{Service: o.service.name, Instance: p.Instance().ID, Address: p.Address(), Attempts: o.number, Err: err}
		return r
	}
	p.node.report(outcome)
	resp.Request = o.req // redirects and caches go by the canonical URL
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.node.release() // the body is the connection, leave it as it is
		return r
	}
	resp.Body = &incoming{ReadCloser: resp.Body, node: p.node}
	return r
}

var errUnavailable = errors.New("the instance answers that it is unavailable")

// unavailable reports statuses that say that another instance may do better.
func unavailable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func (o *sending) tell(p Picked, r *result, latency time.Duration) {
	if o.transport.opts.OnAttempt == nil {
		return
	}
	a := Attempt{Request: o.req, Service: o.service.name, Instance: p.Instance(), Number: o.number, Err: r.err, Latency: latency}
	if r.err == nil {
		a.Status = r.resp.StatusCode
	}
	o.transport.opts.OnAttempt(a)
}

// roundTrip sends the request and, if a failure could still be mended, holds a
// small body until it has arrived.
func (o *sending) roundTrip(p Picked) (*http.Response, error) {
	t := o.transport
	out := addressed(o.req, p, o.body)
	next := t.next
	if n := t.opts.Schemes[p.Scheme()]; n != nil {
		next = n
	}
	resp, err := t.timed(next, out)
	if err != nil || !o.repeat || t.opts.Hold < 0 || resp.ContentLength <= 0 || resp.ContentLength > t.opts.Hold ||
		o.req.Method == http.MethodHead || o.counted+1 >= t.opts.Retry.Attempts {
		return resp, err
	}
	held := make([]byte, resp.ContentLength)
	_, err = io.ReadFull(resp.Body, held)
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	resp.Body = &heldBody{Reader: *bytes.NewReader(held), rest: resp.Body}
	return resp, nil
}

// timed bounds the time to the response header.
func (t *Transport) timed(next http.RoundTripper, out *http.Request) (*http.Response, error) {
	if t.opts.AttemptTimeout <= 0 {
		return next.RoundTrip(out)
	}
	ctx, cancel := context.WithCancelCause(out.Context())
	timer := time.AfterFunc(t.opts.AttemptTimeout, func() { cancel(errSlow) })
	resp, err := next.RoundTrip(out.WithContext(ctx))
	if !timer.Stop() && err == nil {
		err = errSlow // it may be cut in the middle of the body
		_ = resp.Body.Close()
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &releasing{ReadCloser: resp.Body, release: func() { cancel(nil) }}
	return resp, nil
}

// slowError is a timeout of one attempt.
type slowError struct{}

func (slowError) Error() string   { return "no answer within TransportOptions.AttemptTimeout" }
func (slowError) Timeout() bool   { return true }
func (slowError) Temporary() bool { return true }

var errSlow error = slowError{}
