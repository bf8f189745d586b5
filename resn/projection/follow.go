package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// trail is where one resource's links have led so far: documents may link in
// circles.
type trail map[string]bool

// tries bounds how often a linked resource is fetched again because somebody else
// wrote it meanwhile.
const tries = 5

// follow has in their tables what a resource's declared links lead to.
func (t *table) follow(ctx context.Context, r *Resource, been trail) error {
	if len(been) > t.p.opts.MaxDepth {
		return nil
	}
	for _, rel := range slices.Sorted(maps.Keys(t.Links)) {
		to := t.p.tables[t.Links[rel]]
		for _, href := range r.LinksTo(rel) {
			if been[href] {
				continue
			}
			if err := t.p.allowed(href, r.Href); err != nil {
				return bus.Reject(fmt.Errorf("projection: %s: link %q: %w", r.Href, rel, err))
			}
			been[href] = true
			err := to.ensure(ctx, href, been)
			delete(been, href)
			if err != nil {
				return fmt.Errorf("projection: %s: link %q: %w", r.Href, rel, err)
			}
		}
	}
	return nil
}

// allowed says whether a link from one resource may lead to another.
func (p *Projection) allowed(href, from string) error {
	u, err := url.Parse(href)
	if err != nil {
		return err
	}
	origin := u.Scheme + "://" + u.Host
	if !p.origins[origin] && !strings.HasPrefix(from, origin+"/") {
		return fmt.Errorf("%s is at an origin that Options.Origins doesn't name", href)
	}
	return nil
}

// ensure has a resource in the table. If the table has a topic, then what is there
// is kept current by that.
func (t *table) ensure(ctx context.Context, href string, been trail) error {
	if t.consumer != nil {
		// Before it is a member of its group it wouldn't hear of a change that
		// comes after the fetch.
		select {
		case <-t.consumer.Joined():
		case <-t.p.ending:
			return errors.New("the projection ends")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var err error
	for range tries {
		known, there, bad := t.version(ctx, href)
		if bad != nil || there && t.consumer != nil {
			return bad
		}
		w := write{table: t, href: href, known: known}
		if w.resource, err = t.fetch(ctx, href); err != nil {
			return err
		}
		if w.resource != nil {
			if err = t.follow(ctx, w.resource, been); err != nil {
				return err
			}
		}
		if err = w.do(ctx); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return err
}

// fetch asks the owner for a resource; nil is gone.
func (t *table) fetch(ctx context.Context, href string) (*Resource, error) {
	opts := resn.AskOptions{Redirect: func(to *url.URL) error { return t.p.allowed(to.String(), href) }}
	if t.Consumer != nil {
		opts.Header, opts.MaxBytes = t.Consumer.Header, t.Consumer.MaxBytes
	}
	a, err := t.p.client.Ask(ctx, href, &opts)
	if err == nil {
		err = a.Err()
	}
	if err != nil || a.Gone() {
		return nil, err
	}
	return resource(href, a.Header.Get("Etag"), a.Header, a.Body), nil
}

// normal brings a URL into the form in which consumers name resources.
func normal(u *url.URL) (string, error) {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", errors.New("no absolute http URL")
	}
	n := *u
	n.Scheme, n.Host, n.Fragment, n.RawFragment = strings.ToLower(n.Scheme), strings.ToLower(n.Host), "", ""
	n.Host = strings.TrimSuffix(n.Host, map[string]string{"http": ":80", "https": ":443"}[n.Scheme])
	if n.Path == "" {
		n.Path = "/"
	}
	return n.String(), nil
}
