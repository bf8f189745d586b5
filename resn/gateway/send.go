package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
)

// refusedError says that the callback was asked and didn't acknowledge.
type refusedError struct {
	reason string
	gone   bool // it says that it always will
	broken bool // it says, or shows, that it is in trouble itself
}

func (e *refusedError) Error() string { return "the callback refused: " + e.reason }

// laterError says that the callback can't be asked now.
type laterError struct {
	err   error
	after time.Duration // what Retry-After asks for
}

func (e *laterError) Error() string { return "the callback is unavailable: " + e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// openError says that the circuit of the callback's host is open.
type openError struct{ wait time.Duration }

func (*openError) Error() string { return "the callback's host is left alone by everybody" }

// send makes one request with the parcels' events. nil is an acknowledgement.
func (w *worker) send(sub *Subscription, parcels []*parcel) error {
	credential, err := w.g.secrets.open(w.id, sub.Credential)
	if err != nil {
		return &laterError{err: err}
	}
	req, err := write(w.life, sub, parcels)
	if err != nil {
		return &refusedError{reason: err.Error()}
	}
	switch {
	case !sub.Format.cloudEvents():
		req.SetBasicAuth(credential, "x")
	case credential != "":
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	done, err := w.g.circuits.allow(req.URL.Host)
	if err != nil {
		return &openError{wait: w.g.opts.Delivery.OpenFor / 4}
	}
	err = w.exchange(req)
	var refused *refusedError
	if errors.As(err, &refused) && !refused.broken {
		done(nil) // the host is well; the event isn't to its taste
	} else {
		done(err)
	}
	return err
}

// exchange makes the request and judges the answer.
func (w *worker) exchange(req *http.Request) error {
	var wrote atomic.Bool
	ctx, cancel := context.WithTimeout(req.Context(), w.g.opts.Callbacks.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { wrote.Store(i.Err == nil) },
	})
	resp, err := w.g.client.Do(req.WithContext(ctx))
	if err != nil {
		err = withoutURL(err)
		if wrote.Load() {
			// It has the events and didn't answer: they may be what it stumbles over.
			return &refusedError{reason: "no answer: " + err.Error(), broken: true}
		}
		return &laterError{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return nil
	case later(resp.StatusCode):
		return &laterError{err: fmt.Errorf("answer %d", resp.StatusCode), after: retryAfter(resp.Header.Get("Retry-After"))}
	}
	return &refusedError{
		reason: "answer " + strconv.Itoa(resp.StatusCode),
		gone:   resp.StatusCode == http.StatusGone,
		broken: resp.StatusCode >= 500,
	}
}

// withoutURL takes the URL out of a client's error: it says nothing new.
func withoutURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// later reports whether the status speaks of the server's state and not of the
// request.
func later(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads RFC 9110 section 10.2.3: seconds or a date.
func retryAfter(field string) time.Duration {
	if seconds, err := strconv.ParseUint(field, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(field); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// write writes the parcels in the subscription's format.
func write(ctx context.Context, sub *Subscription, parcels []*parcel) (*http.Request, error) {
	var body []byte
	var err error
	header := http.Header{}
	switch sub.Format {
	case CloudEventsBinary:
		body, err = writeBinary(header, &parcels[0].event)
	case CloudEventsStructured:
		header.Set("Content-Type", mediaEvent+"; charset=utf-8")
		body, err = parcels[0].event.AppendJSON(nil)
	case CloudEventsBatch:
		header.Set("Content-Type", mediaBatch+"; charset=utf-8")
		events := make([]bus.Event, len(parcels))
		for i, p := range parcels {
			events[i] = p.event
		}
		body, err = bus.MarshalBatch(events)
	default:
		// Exactly so: the drain compares it with ==.
		header.Set("Content-Type", "application/json")
		body, err = writeEntries(parcels)
	}
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.Callback, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	req.Header.Set("User-Agent", "swale-gateway")
	return req, nil
}

func writeEntries(parcels []*parcel) ([]byte, error) {
	entries := make([]wireEntry, len(parcels))
	for i, p := range parcels {
		e := &p.entry
		entries[i] = wireEntry{e.Topic, e.Type, e.URL, e.Time.UnixMilli(), e.Data}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(entries)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
