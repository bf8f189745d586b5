package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// document is something the issuer serves, read through the coherent cache
// and parsed once for each version.
type document[T any] struct {
	parse func([]byte) (T, error)
	last  atomic.Pointer[parsed[T]]
}

type parsed[T any] struct {
	url, etag string
	value     T
	read      time.Time
	changes   uint64
}

// unasked is how long a document is used without even looking into the cache:
// whatever an issuer says of its lifetime, tokens that somebody makes up don't
// become requests to it.
const unasked = 5 * time.Second

// maxDocument bounds what is read from the issuer, in bytes.
const maxDocument = 1 << 20

// get returns the document. A stored answer is used as long as the cache may,
// and until the issuer announces something; with fresh the issuer is asked. When
// it can't be, the last good version serves, if there is one.
func (d *document[T]) get(ctx context.Context, v *Verifier, url string, fresh bool) (T, error) {
	last, changes, at := d.last.Load(), v.renewed.Load(), v.opts.Clock()
	if !fresh && last != nil && last.url == url && last.changes == changes && at.Sub(last.read) < unasked {
		return last.value, nil
	}
	now, err := d.fetch(ctx, v.http, url, fresh, last)
	switch {
	case err == nil:
		d.last.Store(&parsed[T]{url, now.etag, now.value, at, changes})
		return now.value, nil
	case last != nil && last.url == url:
		return last.value, nil
	}
	var none T
	return none, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (d *document[T]) fetch(ctx context.Context, client *http.Client, url string, fresh bool, last *parsed[T]) (*parsed[T], error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header["Accept"] = []string{"application/json"}
	if fresh {
		req.Header["Cache-Control"] = []string{"no-cache"}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, resp.Status)
	}
	etag := resp.Header.Get("Etag")
	if etag != "" && last != nil && last.url == url && last.etag == etag {
		return last, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%s is longer than %d bytes", url, maxDocument)
	}
	value, err := d.parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return &parsed[T]{url: url, etag: etag, value: value}, nil
}

var errRedirect = errors.New("auth: the issuer's documents may not redirect")

func noRedirect(*http.Request, []*http.Request) error { return errRedirect }
