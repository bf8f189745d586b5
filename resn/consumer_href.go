package resn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
)

// hrefParts is an href in its normal form.
type hrefParts struct {
	origin string // https://api.example
	path   string // /restaurants/203
	href   string // all of it
}

// parseHref checks an href as a notice's and brings it into the form by which
// resources are told apart: two spellings must not be two resources.
func parseHref(href string) (hrefParts, error) {
	if err := validHref(href); err != nil {
		return hrefParts{}, err
	}
	u, err := url.Parse(href)
	if err != nil {
		return hrefParts{}, err
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	u.Host = strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
	if u.Path == "" {
		u.Path = "/"
	}
	return hrefParts{origin: u.Scheme + "://" + u.Host, path: u.EscapedPath(), href: u.String()}, nil
}

var errOrigin = errors.New("the origin is not among ConsumerOptions.Origins")

// allowed says whether an href may be asked for.
func (c *Consumer) allowed(at hrefParts) error {
	if len(c.origins) > 0 && !c.origins[at.origin] {
		return fmt.Errorf("resn: %s: %w", clip(at.href), errOrigin)
	}
	return nil
}

// redirect keeps redirects to where notices may lead.
func (c *Consumer) redirect(to *url.URL) error {
	at, err := parseHref(to.String())
	if err != nil {
		return err
	}
	return c.allowed(at)
}

// locks keeps one goroutine at a time at each resource.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	turn chan struct{} // holds one value while free
	refs int
}

// lock waits for its turn at the key.
func (l *locks) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	k := l.held[key]
	if k == nil {
		if l.held == nil {
			l.held = map[string]*lock{}
		}
		k = &lock{turn: make(chan struct{}, 1)}
		k.turn <- struct{}{}
		l.held[key] = k
	}
	k.refs++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.refs--; k.refs == 0 {
			delete(l.held, key)
		}
	}
	select {
	case <-k.turn:
		return func() {
			k.turn <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
